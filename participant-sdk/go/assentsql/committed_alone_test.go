package assentsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/assentv1"
	"assent.example/sdk/barrier"
	"assent.example/sdk/internal/rig"
)

const committedAlone = "HAZARD: a handler of this branch has committed its transaction by itself, and what it wrote stays: look at it, then set " +
	"the state of its row in assent_barrier (2 done, 5 confirmed, 6 undone), or delete the row, if nothing was done"

func says(texts ...string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		for _, text := range texts {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	}
}

// A handler that ended with tx.Commit(), as is idiomatic, was run again each time it was asked, with effect; and the compensation
// undid nothing.
func TestAHandlerThatCommitsByItselfRunsOnce(t *testing.T) {
	for _, kind := range kinds {
		bases := map[string]*rig.Database{kind.name: kind.open(t)}
		if kind.dialect == assentsql.MariaDB {
			found := *bases[kind.name]
			found.DB = sql.OpenDB(connector{found.DB.Driver(), found.Source + "?clientFoundRows=true"})
			t.Cleanup(func() { found.DB.Close() })
			bases["MariaDB with clientFoundRows"] = &found
		}
		ways := map[string]func(context.Context, *sql.Tx) error{
			"tx.Commit": func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
			"a comment": says("/* paid */ COMMIT"),
			"and goes on": says("COMMIT", "BEGIN", "SAVEPOINT assent_handler",
				"UPDATE books SET amount = amount - 1"),
		}
		if kind.dialect == assentsql.MariaDB {
			ways["autocommit"] = says("SET autocommit = 1")
			ways["a table"] = says("CREATE OR REPLACE TABLE more(one INT)")
		}
		for base, at := range bases {
			for way, commits := range ways {
				t.Run(base+", "+way, func(t *testing.T) {
					b := open(t, at, kind.dialect)
					committedOnce(b, commits)
					committedAtLast(b, commits)
				})
			}
		}
	}
}

func committedOnce(b *books, commits func(context.Context, *sql.Tx) error) {
	take, give := b.add(-10), b.add(10)
	b.keeper.Saga(b.p, "commits", assentsql.Saga{Compensate: give, Action: func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		if reply, err := take(ctx, tx, call); err != nil {
			return reply, err
		}
		return assent.Done(nil), commits(ctx, tx)
	}})
	ask := func(operation assent.Operation, kind assent.ReplyKind, reason string, free int) {
		b.t.Helper()
		reply := b.p.Execute(b.t.Context(), commandOf("g1", operation, "commits"))
		if reply.Kind != kind || !strings.Contains(reply.Reason, reason) || b.free() != free {
			b.t.Errorf("%v: %v, %d free", operation, reply, b.free())
		}
	}
	ask(assent.OperationAction, assent.KindRetryLater, "the handler has ended its transaction", 90)
	for range 2 {
		ask(assent.OperationAction, assent.KindRetryLater, committedAlone, 90)
		ask(assent.OperationCompensate, assent.KindRefused, committedAlone, 90)
	}
	b.keeper.Retention = -time.Minute
	if held, err := b.keeper.Held(b.t.Context(), 10); err != nil || len(held) != 0 {
		b.t.Errorf("%v %v: it is a person's", held, err)
	}
	if err := b.keeper.Outcome(b.t.Context(), assent.HeldBranch{GID: "g1", BranchID: "1"}, assent.VerdictAbort, true); err != nil {
		b.t.Error(err)
	}
	ask(assent.OperationAction, assent.KindRetryLater, committedAlone, 90)
	b.exec("UPDATE assent_barrier SET state = 2") // says the person: it was done
	ask(assent.OperationAction, assent.KindDone, "", 90)
	ask(assent.OperationCompensate, assent.KindDone, "", 100)
}

// What finishes or undoes was run again each time it was asked, too.
func committedAtLast(b *books, commits func(context.Context, *sql.Tx) error) {
	nothing := func(context.Context, *sql.Tx, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }
	last := func(ctx context.Context, tx *sql.Tx, _ *assent.Call) (assent.Reply, error) {
		if err := says("UPDATE books SET amount = amount - 10")(ctx, tx); err != nil {
			return assent.Reply{}, err
		}
		return assent.Done(nil), commits(ctx, tx)
	}
	b.keeper.TCC(b.p, "last", assentsql.TCC{Try: nothing, Confirm: last, Cancel: last})
	b.keeper.Saga(b.p, "last", assentsql.Saga{Action: nothing, Compensate: last})
	for _, of := range []struct {
		first, second assent.Operation
		becomes       barrier.State
	}{
		{assent.OperationTry, assent.OperationConfirm, barrier.Finished}, {assent.OperationTry, assent.OperationCancel, barrier.Undone},
		{assent.OperationAction, assent.OperationCompensate, barrier.Undone},
	} {
		b.exec("UPDATE books SET amount = 100")
		gid := of.second.String()
		ask := func(operation assent.Operation, kind assent.ReplyKind, reason string, free int) {
			b.t.Helper()
			command := commandOf(gid, operation, "last")
			if operation != assent.OperationAction && operation != assent.OperationCompensate {
				command.Protocol = assent.ProtocolTCC
			}
			reply := b.p.Execute(b.t.Context(), command)
			if reply.Kind != kind || !strings.Contains(reply.Reason, reason) || b.free() != free {
				b.t.Errorf("%v: %v, %d free", operation, reply, b.free())
			}
		}
		ask(of.first, assent.KindDone, "", 100)
		ask(of.second, assent.KindRetryLater, "the handler has ended its transaction", 90)
		for range 2 {
			ask(of.second, assent.KindRefused, committedAlone, 90)
			ask(of.first, assent.KindRetryLater, committedAlone, 90)
		}
		b.exec(fmt.Sprintf("UPDATE assent_barrier SET state = %d WHERE gid = '%s'", of.becomes, gid)) // says the person
		ask(of.second, assent.KindDone, "", 90)
	}
}

// The sole branch of a transaction is committed by its PREPARE.
func TestAPrepareThatCommitsByItselfIsAHazard(t *testing.T) {
	for _, kind := range kinds[1:] {
		t.Run(kind.name, func(t *testing.T) {
			v := openVault(t, kind.open(t), kind.dialect)
			v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
				if err := says("UPDATE books SET amount = amount - 10")(ctx, tx); err != nil {
					return assent.Reply{}, err
				}
				return assent.Done(nil), tx.Commit()
			}
			prepare := &assentv1.BranchCommand{Gid: "g1", Operation: assent.OperationPrepare, OnePhase: true}
			v.say(prepare)
			if reply := v.say(prepare); reply.Kind != assent.KindRetryLater || reply.Reason != committedAlone || v.free() != 90 {
				t.Errorf("%v, %d free", reply, v.free())
			}
			if reply := v.two("g1", assent.OperationPrepare); reply.Kind != assent.KindRetryLater || reply.Reason != committedAlone {
				t.Errorf("%v", reply)
			}
			for _, operation := range []assent.Operation{assent.OperationCommit, assent.OperationRollback} {
				if reply := v.expect("g1", operation, assent.KindRefused, 90, 0); reply.Reason != committedAlone {
					t.Errorf("%q", reply.Reason)
				}
			}
		})
	}
}

// Over PostgreSQL it was run again each time it was asked.
func TestAPrepareOfTwoPhasesThatCommitsByItselfRunsOnce(t *testing.T) {
	v := openVault(t, rig.OpenPostgres(t), assentsql.PostgreSQL)
	commit := func(_ context.Context, tx *sql.Tx) error { return tx.Commit() }
	ways := map[string]struct {
		ends func(context.Context, *sql.Tx) error
		says assent.Reply
	}{
		"commit":        {commit, assent.Done(nil)},
		"words":         {says("/* paid */ COMMIT"), assent.Done(nil)},
		"and-goes-on":   {says("COMMIT", "BEGIN", "UPDATE books SET amount = amount - 1"), assent.Done(nil)},
		"and-fails":     {says("COMMIT", "SELECT nothing"), assent.Done(nil)},
		"and-says-no":   {commit, assent.Refused("no coins")},
		"and-not-today": {commit, assent.RetryLater("not today", 0)},
	}
	for gid, way := range ways {
		v.exec("UPDATE books SET amount = 100")
		v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
			if err := says("UPDATE books SET amount = amount - 10")(ctx, tx); err != nil {
				return assent.Reply{}, err
			}
			return way.says, way.ends(ctx, tx)
		}
		v.expect(gid, assent.OperationPrepare, assent.KindRetryLater, 90, 0)
		for _, next := range []struct {
			operation assent.Operation
			kind      assent.ReplyKind
		}{{assent.OperationPrepare, assent.KindRetryLater}, {assent.OperationCommit, assent.KindRefused}, {assent.OperationRollback, assent.KindRefused}} {
			if reply := v.expect(gid, next.operation, next.kind, 90, 0); reply.Reason != committedAlone {
				t.Errorf("%s: %q", gid, reply.Reason)
			}
		}
	}
	v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		return assent.Done(nil), tx.Rollback()
	}
	v.expect("rolls-back", assent.OperationPrepare, assent.KindRetryLater, 90, 0)
	v.expect("rolls-back", assent.OperationRollback, assent.KindDone, 90, 0)
}

// A handler's savepoint of the name that ours had took its place: what was written before it stayed beside a refusal.
func TestAHandlersSavepointIsNotOurs(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			b := open(t, kind.open(t), kind.dialect)
			b.keeper.Saga(b.p, "saves", assentsql.Saga{Action: func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
				err := says("UPDATE books SET amount = amount - 10", "SAVEPOINT assent_handler")(ctx, tx)
				return assent.Refused("no coins"), err
			}})
			if reply := b.p.Execute(t.Context(), commandOf("g1", assent.OperationAction, "saves")); reply.Kind != assent.KindRefused || b.free() != 100 {
				t.Errorf("%v, %d free", reply, b.free())
			}
		})
	}
}

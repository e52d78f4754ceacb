package assentsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/assentv1"
	"assent.example/sdk/internal/rig"
)

// Each kind of database that there is.
var kinds = []struct {
	name    string
	dialect assentsql.Dialect
	open    func(testing.TB) *rig.Database
}{
	{"SQLite", assentsql.SQLite, rig.OpenSQLite},
	{"PostgreSQL", assentsql.PostgreSQL, rig.OpenPostgres},
	{"MariaDB", assentsql.MariaDB, rig.OpenMariaDB},
}

// books are one number, and how often each operation has run.
type books struct {
	t      *testing.T
	base   *rig.Database
	p      *assent.Participant
	keeper *assentsql.Keeper

	mutex sync.Mutex
	runs  map[assent.Operation]int
	reply func(call *assent.Call) (assent.Reply, error) // of the next handlers; nil: done
}

func open(t *testing.T, base *rig.Database, dialect assentsql.Dialect) *books {
	t.Helper()
	b := &books{t: t, base: base, runs: map[assent.Operation]int{}}
	for _, text := range []string{"DROP TABLE IF EXISTS assent_barrier", "DROP TABLE IF EXISTS books",
		"CREATE TABLE books(what VARCHAR(20) PRIMARY KEY, amount INTEGER NOT NULL)", "INSERT INTO books VALUES('free', 100)"} {
		b.exec(text)
	}
	var err error
	if b.keeper, err = assentsql.Open(t.Context(), base.DB, dialect); err != nil {
		t.Fatal(err)
	}
	b.p = assent.NewParticipant(assent.ParticipantOptions{Service: "shop"})
	b.keeper.TCC(b.p, "reserve", assentsql.TCC{Try: b.add(-10), Confirm: b.add(0), Cancel: b.add(10)})
	b.keeper.Saga(b.p, "pay", assentsql.Saga{Action: b.add(-10), Compensate: b.add(10)})
	return b
}

func (b *books) exec(text string) {
	b.t.Helper()
	if _, err := b.base.DB.ExecContext(b.t.Context(), text); err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
}

func (b *books) free() (amount int) {
	b.t.Helper()
	if err := b.base.DB.QueryRow("SELECT amount FROM books WHERE what = 'free'").Scan(&amount); err != nil {
		b.t.Fatal(err)
	}
	return amount
}

func (b *books) add(amount int) assentsql.Handler {
	return func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		b.mutex.Lock()
		b.runs[call.Operation]++
		run, say := b.runs[call.Operation], b.reply
		b.mutex.Unlock()
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE books SET amount = amount + (%d) WHERE what = 'free'", amount)); err != nil {
			return assent.Reply{}, err
		}
		if say != nil {
			return say(call)
		}
		return assent.Done([]byte(fmt.Sprintf("run %d", run))), nil
	}
}

// commandOf a Saga.
func commandOf(gid string, operation assent.Operation, action string) *assentv1.BranchCommand {
	return &assentv1.BranchCommand{Gid: gid, BranchId: "1", Operation: operation, Protocol: assent.ProtocolSaga, Service: "shop", Action: action,
		CoordinatorId: 7, BeganEpoch: 9}
}

// ask is one command, as it comes from a coordinator.
func (b *books) ask(branch string, operation assent.Operation) *assentv1.BranchReply {
	protocol, action := assent.ProtocolTCC, "reserve"
	if operation == assent.OperationAction || operation == assent.OperationCompensate {
		protocol, action = assent.ProtocolSaga, "pay"
	}
	command := commandOf("order-1", operation, action)
	command.BranchId, command.Protocol = branch, protocol
	return b.p.Execute(context.Background(), command)
}

func (b *books) want(branch string, operation assent.Operation, kind assent.ReplyKind, free int) *assentv1.BranchReply {
	b.t.Helper()
	reply := b.ask(branch, operation)
	if reply.Kind != kind || b.free() != free {
		b.t.Errorf("%s %v: %v %q, %d free; wanted %v, %d", branch, operation, reply.Kind, reply.Reason, b.free(), kind, free)
	}
	return reply
}

func TestContract(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			base := kind.open(t)
			for name, check := range map[string]func(*books){
				"same again": sameAgain, "undo first": undoFirst, "finish without try": finishWithoutTry, "refused": refused,
				"second phase goes on": secondPhaseGoesOn, "two at once": twoAtOnce, "nothing left of an error": nothingLeft,
				"old rows": oldRows, "not prepared": notPrepared,
			} {
				t.Run(name, func(t *testing.T) { check(open(t, base, kind.dialect)) })
			}
		})
	}
}

func sameAgain(b *books) {
	first := b.want("1", assent.OperationTry, assent.KindDone, 90)
	again := b.want("1", assent.OperationTry, assent.KindDone, 90)
	if string(first.Result) != "run 1" || string(again.Result) != "run 1" {
		b.t.Errorf("%q, then %q", first.Result, again.Result)
	}
	for range 2 {
		b.want("1", assent.OperationConfirm, assent.KindDone, 90)
	}
	if b.want("1", assent.OperationCancel, assent.KindRefused, 90).Reason != "already confirmed" {
		b.t.Error("a cancel after the confirm has another reason")
	}
	b.want("2", assent.OperationTry, assent.KindDone, 80)
	for range 2 {
		b.want("2", assent.OperationCancel, assent.KindDone, 90)
	}
	b.want("3", assent.OperationAction, assent.KindDone, 80)
	for range 2 {
		b.want("3", assent.OperationCompensate, assent.KindDone, 90)
	}
	if b.runs[assent.OperationTry] != 2 || b.runs[assent.OperationConfirm] != 1 || b.runs[assent.OperationCancel] != 1 || b.runs[assent.OperationCompensate] != 1 {
		b.t.Errorf("runs: %v", b.runs)
	}
}

func undoFirst(b *books) {
	b.want("1", assent.OperationCancel, assent.KindDone, 100)
	for range 2 {
		if late := b.want("1", assent.OperationTry, assent.KindRefused, 100); late.Reason != "cancelled before it was tried" {
			b.t.Errorf("%q", late.Reason)
		}
	}
	b.want("2", assent.OperationCompensate, assent.KindDone, 100)
	b.want("2", assent.OperationAction, assent.KindRefused, 100)
	if len(b.runs) != 0 {
		b.t.Errorf("handlers ran: %v", b.runs)
	}
}

func finishWithoutTry(b *books) {
	b.want("1", assent.OperationConfirm, assent.KindRefused, 100)
	b.want("1", assent.OperationTry, assent.KindDone, 90) // nothing was kept of it
}

func refused(b *books) {
	b.reply = func(*assent.Call) (assent.Reply, error) { return assent.Refused("sold out"), nil }
	b.want("1", assent.OperationTry, assent.KindRefused, 100)
	b.reply = nil
	if again := b.want("1", assent.OperationTry, assent.KindRefused, 100); again.Reason != "sold out" {
		b.t.Errorf("%q", again.Reason)
	}
	b.want("1", assent.OperationCancel, assent.KindDone, 100)
	b.want("1", assent.OperationConfirm, assent.KindRefused, 100)
	if b.runs[assent.OperationTry] != 1 || len(b.runs) != 1 {
		b.t.Errorf("runs: %v", b.runs)
	}
}

func secondPhaseGoesOn(b *books) {
	b.want("1", assent.OperationTry, assent.KindDone, 90)
	b.reply = func(*assent.Call) (assent.Reply, error) { return assent.Refused("not today"), nil }
	b.want("1", assent.OperationCancel, assent.KindRefused, 90)
	b.reply = func(*assent.Call) (assent.Reply, error) { return assent.RetryLater("in a moment", time.Second), nil }
	if later := b.want("1", assent.OperationCancel, assent.KindRetryLater, 90); later.RetryAfterMs != 1000 {
		b.t.Errorf("%d ms", later.RetryAfterMs)
	}
	b.reply = nil
	b.want("1", assent.OperationCancel, assent.KindDone, 100)
}

func twoAtOnce(b *books) {
	// Two processes that share the database: their participants know nothing of each other.
	other := &books{t: b.t, base: b.base, keeper: b.keeper, runs: map[assent.Operation]int{}}
	other.p = assent.NewParticipant(assent.ParticipantOptions{Service: "shop"})
	b.keeper.TCC(other.p, "reserve", assentsql.TCC{Try: other.add(-10), Confirm: other.add(0), Cancel: other.add(10)})
	for round := range 20 {
		branch := fmt.Sprint(round)
		var group sync.WaitGroup
		for _, side := range []*books{b, other, b, other} {
			group.Go(func() {
				for side.ask(branch, assent.OperationTry).Kind != assent.KindDone {
				}
			})
		}
		group.Wait()
		for b.ask(branch, assent.OperationCancel).Kind != assent.KindDone {
		}
	}
	if b.free() != 100 {
		b.t.Errorf("%d free", b.free())
	}
}

func nothingLeft(b *books) {
	b.reply = func(*assent.Call) (assent.Reply, error) { return assent.Reply{}, fmt.Errorf("the network is away") }
	if later := b.want("1", assent.OperationTry, assent.KindRetryLater, 100); later.Reason != "the network is away" {
		b.t.Errorf("%q", later.Reason)
	}
	b.reply = func(*assent.Call) (assent.Reply, error) { panic("oh") }
	b.want("1", assent.OperationTry, assent.KindUnknown, 100)
	b.reply = nil
	b.want("1", assent.OperationTry, assent.KindDone, 90)
}

func oldRows(b *books) {
	b.want("1", assent.OperationTry, assent.KindDone, 90)
	b.want("1", assent.OperationConfirm, assent.KindDone, 90)
	b.want("2", assent.OperationTry, assent.KindDone, 80)
	ctx := b.t.Context()
	if held, err := b.keeper.Held(ctx, 10); err != nil || len(held) != 0 {
		b.t.Errorf("%v %v: nothing is old", held, err)
	}
	b.keeper.Retention = -time.Minute
	held, err := b.keeper.Held(ctx, 10)
	if err != nil || len(held) != 2 || held[0].CoordinatorID != 7 || held[0].BeganEpoch != 9 {
		b.t.Fatalf("%v %v", held, err)
	}
	count := func() (rows int) {
		if err := b.base.DB.QueryRow("SELECT count(*) FROM assent_barrier").Scan(&rows); err != nil {
			b.t.Fatal(err)
		}
		return rows
	}
	for _, one := range held {
		if err := b.keeper.Outcome(ctx, one, assent.VerdictCannotTell, true); err != nil || count() != 2 {
			b.t.Errorf("%v, %d rows", err, count())
		}
	}
	for _, one := range held {
		if err := b.keeper.Outcome(ctx, one, assent.VerdictCommit, true); err != nil {
			b.t.Error(err)
		}
	}
	// The try that nobody confirms is for a person.
	if count() != 1 {
		b.t.Errorf("%d rows", count())
	}
}

func notPrepared(b *books) {
	reply := b.p.Execute(b.t.Context(), &assentv1.BranchCommand{Gid: "order-1", BranchId: "1", Operation: assent.OperationCommit,
		Protocol: assent.ProtocolTwoPhase, Service: "shop", Action: "reserve"})
	if reply.Kind == assent.KindDone {
		b.t.Errorf("%v", reply)
	}
}

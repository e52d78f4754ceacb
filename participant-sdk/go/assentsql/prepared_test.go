package assentsql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/assentv1"
	"assent.example/sdk/internal/rig"
)

// vault keeps prepared work: the books of one account, changed in two phases.
type vault struct {
	*books
	kind    assentsql.Dialect
	handler assentsql.Handler // of PREPARE; nil: takes ten
	row     string            // that a handler of a test is to change
}

func openVault(t *testing.T, base *rig.Database, dialect assentsql.Dialect) *vault {
	t.Helper()
	if _, err := base.DB.Exec("DROP TABLE IF EXISTS assent_marker"); err != nil {
		t.Fatal(err)
	}
	v := &vault{books: open(t, base, dialect), kind: dialect}
	v.register(v.p, v.keeper)
	t.Cleanup(v.forget)
	t.Cleanup(func() { _ = v.keeper.Close() })
	return v
}

func (v *vault) register(p *assent.Participant, keeper *assentsql.Keeper) {
	v.t.Helper()
	take := v.add(-10)
	if err := keeper.TwoPhase(v.t.Context(), p, "take", func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		if v.handler != nil {
			return v.handler(ctx, tx, call)
		}
		return take(ctx, tx, call)
	}); err != nil {
		v.t.Fatal(err)
	}
}

// again is another process on the same database.
func (v *vault) again() {
	v.t.Helper()
	var err error
	if v.keeper, err = assentsql.Open(v.t.Context(), v.base.DB, v.kind); err != nil {
		v.t.Fatal(err)
	}
	v.p = assent.NewParticipant(assent.ParticipantOptions{Service: "shop"})
	v.register(v.p, v.keeper)
}

func (v *vault) say(command *assentv1.BranchCommand) *assentv1.BranchReply {
	command.Protocol, command.Service, command.Action = assent.ProtocolTwoPhase, "shop", "take"
	if command.BranchId == "" {
		command.BranchId = "1"
	}
	return v.p.Execute(context.Background(), command)
}

func (v *vault) two(gid string, operation assent.Operation) *assentv1.BranchReply {
	return v.say(&assentv1.BranchCommand{Gid: gid, Operation: operation, CoordinatorId: 7, BeganEpoch: 9})
}

// expect asks, and looks at the answer, at the books, and at what is prepared.
func (v *vault) expect(gid string, operation assent.Operation, kind assent.ReplyKind, free, prepared int) *assentv1.BranchReply {
	v.t.Helper()
	reply := v.two(gid, operation)
	if reply.Kind != kind || v.free() != free || len(v.prepared()) != prepared {
		v.t.Errorf("%s %v: %v %q, %d free, prepared %v; wanted %v, %d, %d", gid, operation, reply.Kind, reply.Reason, v.free(), v.prepared(), kind, free, prepared)
	}
	return reply
}

// prepared has the gid and branch of each.
func (v *vault) prepared() (found [][2]string) {
	v.t.Helper()
	query := "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'assent/%' AND database = current_database()"
	if v.kind == assentsql.MariaDB {
		query = "XA RECOVER"
	}
	rows, err := v.base.DB.Query(query)
	if err != nil {
		v.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var format, gid, branch int
		var name string
		if v.kind == assentsql.MariaDB {
			err = rows.Scan(&format, &gid, &branch, &name)
		} else {
			err = rows.Scan(&name)
		}
		if err != nil {
			v.t.Fatal(err)
		}
		if v.kind == assentsql.MariaDB {
			found = append(found, [2]string{name[:gid], name[gid:]})
		} else {
			parts := strings.Split(name, "/")
			found = append(found, [2]string{parts[1], parts[2]})
		}
	}
	return found
}

// takeAway rolls back what is prepared, behind the barrier's back.
func (v *vault) takeAway(one [2]string) {
	v.t.Helper()
	text := fmt.Sprintf("ROLLBACK PREPARED 'assent/%s/%s'", one[0], one[1])
	if v.kind == assentsql.MariaDB {
		text = fmt.Sprintf("XA ROLLBACK '%s','%s',%d", one[0], one[1], 0x4153)
		v.endSession(one[0], one[1])
	}
	rig.Until(v.t, text, func() bool { _, err := v.base.DB.Exec(text); return err == nil })
}

// endSession that has prepared the branch, and wait until InnoDB has let go of its work: nothing tells.
func (v *vault) endSession(gid, branch string) {
	v.t.Helper()
	if worker := v.worker(gid, branch); worker.Valid {
		_, _ = v.base.DB.Exec(fmt.Sprintf("KILL CONNECTION %d", worker.Int64))
	}
	time.Sleep(2 * assentsql.DetachTime)
}

func (v *vault) worker(gid, branch string) (worker sql.NullInt64) {
	v.t.Helper()
	sum := sha256.Sum256([]byte(gid + "/" + branch))
	if err := v.base.DB.QueryRow(fmt.Sprintf("SELECT IS_USED_LOCK('assent/%x/work')", sum[:20])).Scan(&worker); err != nil {
		v.t.Fatal(err)
	}
	return worker
}

// forget: of this test, so that the next one counts its own.
func (v *vault) forget() {
	for _, one := range v.prepared() {
		v.takeAway(one)
	}
}

func TestPreparedWork(t *testing.T) {
	for _, kind := range kinds[1:] {
		t.Run(kind.name, func(t *testing.T) {
			base := kind.open(t)
			for name, check := range map[string]func(*vault){
				"both ends": bothEnds, "kill -9 of the server": serverKilled, "nothing prepared": nothingPrepared,
				"promised to nobody": promisedToNobody, "killed behind the commit": killedBehindTheCommit, "taken away": takenAway,
				"failed handlers": failedHandlers, "deadlocks": deadlocks, "two processes": twoProcesses,
			} {
				t.Run(name, func(t *testing.T) { check(openVault(t, base, kind.dialect)) })
			}
		})
	}
}

func bothEnds(v *vault) {
	first := v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
	if again := v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1); string(again.Result) != string(first.Result) {
		v.t.Errorf("%q, then %q", first.Result, again.Result)
	}
	for range 2 {
		v.expect("g1", assent.OperationCommit, assent.KindDone, 90, 0)
	}
	if late := v.expect("g1", assent.OperationRollback, assent.KindRefused, 90, 0); late.Reason != "already committed" {
		v.t.Errorf("%q", late.Reason)
	}
	v.expect("g2", assent.OperationPrepare, assent.KindDone, 90, 1)
	for range 2 {
		v.expect("g2", assent.OperationRollback, assent.KindDone, 90, 0)
	}
	v.expect("g2", assent.OperationCommit, assent.KindRefused, 90, 0)
	v.expect("g3", assent.OperationRollback, assent.KindDone, 90, 0)
	for range 2 {
		v.expect("g3", assent.OperationPrepare, assent.KindRefused, 90, 0)
	}
	if never := v.expect("g4", assent.OperationCommit, assent.KindRefused, 90, 0); never.Reason != "HAZARD: not prepared here" {
		v.t.Errorf("%q", never.Reason)
	}
	var markers int
	if err := v.base.DB.QueryRow("SELECT count(*) FROM assent_marker").Scan(&markers); err != nil || markers != 0 {
		v.t.Errorf("%d markers are left: %v", markers, err)
	}
}

func serverKilled(v *vault) {
	first := v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.base.Kill()
	v.base.Restart()
	v.again()
	if again := v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1); string(again.Result) != string(first.Result) {
		v.t.Errorf("%q, then %q", first.Result, again.Result)
	}
	ctx := v.t.Context()
	held, err := v.keeper.Held(ctx, 10)
	if err != nil || len(held) != 1 || held[0] != (assent.HeldBranch{GID: "g1", BranchID: "1", CoordinatorID: 7, BeganEpoch: 9}) {
		v.t.Fatalf("%v %v", held, err)
	}
	for _, verdict := range []assent.Verdict{assent.VerdictUndecided, assent.VerdictCannotTell} {
		if err := v.keeper.Outcome(ctx, held[0], verdict, false); err != nil || len(v.prepared()) != 1 {
			v.t.Errorf("%v: %v, prepared %v", verdict, err, v.prepared())
		}
	}
	if err := v.keeper.Outcome(ctx, held[0], assent.VerdictCommit, false); err != nil || len(v.prepared()) != 0 || v.free() != 90 {
		v.t.Errorf("%v, prepared %v, %d free", err, v.prepared(), v.free())
	}
	if held, err = v.keeper.Held(ctx, 10); err != nil || len(held) != 0 {
		v.t.Errorf("%v %v", held, err)
	}
	v.expect("g1", assent.OperationCommit, assent.KindDone, 90, 0)
}

func nothingPrepared(v *vault) {
	one := func(gid string) *assentv1.BranchReply {
		return v.say(&assentv1.BranchCommand{Gid: gid, Operation: assent.OperationPrepare, OnePhase: true})
	}
	first, again := one("g1"), one("g1")
	if first.Kind != assent.KindDone || string(again.Result) != string(first.Result) || v.free() != 90 || len(v.prepared()) != 0 {
		v.t.Errorf("one phase: %v, %v, %d free, prepared %v", first, again, v.free(), v.prepared())
	}
	v.expect("g1", assent.OperationRollback, assent.KindRefused, 90, 0)
	v.reply = func(*assent.Call) (assent.Reply, error) { return assent.Refused("no coins"), nil }
	for range 2 {
		v.expect("g2", assent.OperationPrepare, assent.KindRefused, 90, 0)
	}
	if refused := one("g3"); refused.Kind != assent.KindRefused || v.free() != 90 {
		v.t.Errorf("one phase: %v, %d free", refused, v.free())
	}
	v.handler = func(context.Context, *sql.Tx, *assent.Call) (assent.Reply, error) {
		return assent.DoneReadOnly([]byte("seen")), nil
	}
	for range 2 {
		if seen := v.expect("g4", assent.OperationPrepare, assent.KindDoneReadOnly, 90, 0); string(seen.Result) != "seen" {
			v.t.Errorf("%q", seen.Result)
		}
	}
	if v.kind == assentsql.PostgreSQL { // which says by itself whether something was written
		v.handler = func(context.Context, *sql.Tx, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }
		v.expect("g5", assent.OperationPrepare, assent.KindDoneReadOnly, 90, 0)
	}
}

// Killed between the PREPARE and the row that says so: nobody was told, and an undo that comes has to find it.
func promisedToNobody(v *vault) {
	v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.exec("DELETE FROM assent_barrier WHERE gid = 'g1'")
	v.expect("g1", assent.OperationRollback, assent.KindDone, 100, 0)
	v.expect("g2", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.exec("DELETE FROM assent_barrier WHERE gid = 'g2'")
	v.expect("g2", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.expect("g1", assent.OperationPrepare, assent.KindRefused, 100, 1)
	v.expect("g2", assent.OperationCommit, assent.KindDone, 90, 0)
}

func killedBehindTheCommit(v *vault) {
	v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.expect("g1", assent.OperationCommit, assent.KindDone, 90, 0)
	v.exec("UPDATE assent_barrier SET state = 4")
	v.exec("INSERT INTO assent_marker VALUES ('g1', '1')")
	v.expect("g1", assent.OperationCommit, assent.KindDone, 90, 0)
	v.expect("g1", assent.OperationRollback, assent.KindRefused, 90, 0)
}

func takenAway(v *vault) {
	v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.takeAway([2]string{"g1", "1"})
	reply := v.expect("g1", assent.OperationCommit, assent.KindRefused, 100, 0)
	if !strings.HasPrefix(reply.Reason, "HAZARD: its prepared work is gone") {
		v.t.Errorf("%q", reply.Reason)
	}
	// Nor does an answer to the question hide it.
	held := assent.HeldBranch{GID: "g1", BranchID: "1"}
	if err := v.keeper.Outcome(v.t.Context(), held, assent.VerdictCommit, true); err == nil || !strings.Contains(err.Error(), "HAZARD") {
		v.t.Errorf("%v", err)
	}
}

func failedHandlers(v *vault) {
	v.reply = func(*assent.Call) (assent.Reply, error) { return assent.Reply{}, fmt.Errorf("the network is away") }
	if later := v.expect("g1", assent.OperationPrepare, assent.KindRetryLater, 100, 0); later.Reason != "the network is away" {
		v.t.Errorf("%q", later.Reason)
	}
	v.reply = func(*assent.Call) (assent.Reply, error) { panic("oh") }
	v.expect("g1", assent.OperationPrepare, assent.KindUnknown, 100, 0)
	v.reply = nil
	take := v.add(-10)
	v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		reply, err := take(ctx, tx, call)
		_, _ = tx.ExecContext(ctx, "SELECT * FROM no_such_table") // and goes on, as if nothing had been
		return reply, err
	}
	if v.kind == assentsql.PostgreSQL {
		// It answers PREPARE TRANSACTION of a failed transaction with ROLLBACK, and the driver says nothing.
		v.expect("g1", assent.OperationPrepare, assent.KindRetryLater, 100, 0)
	}
	v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		_, err := tx.ExecContext(ctx, "ROLLBACK")
		return assent.Done(nil), err
	}
	v.expect("g1", assent.OperationPrepare, assent.KindRetryLater, 100, 0)
	v.handler = nil
	v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
	v.expect("g1", assent.OperationCommit, assent.KindDone, 90, 0)
}

// Two that want the same rows in another order: the database ends one, and it is run again.
func deadlocks(v *vault) {
	v.exec("INSERT INTO books VALUES('more', 100)")
	var both sync.WaitGroup
	both.Add(2)
	met := sync.OnceFunc(both.Wait)
	var mutex sync.Mutex
	tries := map[string]int{}
	v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		rows := []string{"free", "more"}
		if call.GID == "g2" {
			rows = []string{"more", "free"}
		}
		for n, row := range rows {
			if _, err := tx.ExecContext(ctx, "UPDATE books SET amount = amount - 1 WHERE what = '"+row+"'"); err != nil {
				return assent.Reply{}, err
			}
			mutex.Lock()
			tries[call.GID]++
			first := tries[call.GID] == 1
			mutex.Unlock()
			if n == 0 && first {
				both.Done()
				met()
			}
		}
		return assent.Done(nil), nil
	}
	var group sync.WaitGroup
	for _, gid := range []string{"g1", "g2"} {
		group.Go(func() {
			if reply := v.say(&assentv1.BranchCommand{Gid: gid, Operation: assent.OperationPrepare, OnePhase: true}); reply.Kind != assent.KindDone {
				v.t.Errorf("%s: %v", gid, reply)
			}
		})
	}
	group.Wait()
	if v.free() != 98 || tries["g1"]+tries["g2"] < 5 {
		v.t.Errorf("%d free after %v tries", v.free(), tries)
	}
}

// Two processes that share the database know nothing of each other.
func twoProcesses(v *vault) {
	other := &vault{books: &books{t: v.t, base: v.base, keeper: v.keeper, runs: map[assent.Operation]int{}}, kind: v.kind}
	other.p = assent.NewParticipant(assent.ParticipantOptions{Service: "shop"})
	other.register(other.p, other.keeper)
	for round := range 10 {
		gid := fmt.Sprint("g", round)
		var group sync.WaitGroup
		for _, side := range []*vault{v, other, v, other} {
			group.Go(func() {
				for end := time.Now().Add(20 * time.Second); side.two(gid, assent.OperationPrepare).Kind != assent.KindDone; {
					if time.Now().After(end) {
						v.t.Error("it is not prepared in 20 s")
						return
					}
				}
			})
		}
		group.Wait()
		v.expect(gid, assent.OperationRollback, assent.KindDone, 100, 0)
	}
	if sum := v.runs[assent.OperationPrepare] + other.runs[assent.OperationPrepare]; sum != 10 {
		v.t.Errorf("the handler ran %d times for 10 branches", sum)
	}
}

package assentsql_test

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/assentv1"
	"assent.example/sdk/internal/rig"
)

// Everybody waits for older transactions only; an older one says who is in its way, without waiting for long.
func TestOlderOnesAreNotKeptWaitingByYoungerOnesThatArePrepared(t *testing.T) {
	v := openVault(t, rig.OpenPostgres(t), assentsql.PostgreSQL)
	v.keeper.LockTimeout = time.Minute // nobody is told by it
	v.exec("INSERT INTO books VALUES('more', 100)")
	take := v.add(-10)
	v.handler = func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error) {
		row := "free"
		if call.GID == "older" {
			row = v.row
		} else if call.GID == "youngest" {
			row = "more" // and then the other
		}
		if row == "more" {
			if _, err := tx.ExecContext(ctx, "UPDATE books SET amount = amount - 1 WHERE what = 'more'"); err != nil {
				return assent.Reply{}, err
			}
			if call.GID == "older" {
				return assent.Done(nil), nil
			}
		}
		return take(ctx, tx, call)
	}
	prepare := func(gid, branch string, began int64, coordinator uint32) *assentv1.BranchReply {
		return v.say(&assentv1.BranchCommand{Gid: gid, BranchId: branch, Operation: assent.OperationPrepare, BeganUnixMs: began, CoordinatorId: coordinator})
	}
	if reply := prepare("younger", "1", 2000, 7); reply.Kind != assent.KindDone {
		t.Fatalf("%v", reply)
	}
	olderIsTold := func(row string) {
		t.Helper()
		v.row = row
		began := time.Now()
		reply := prepare("older", "1", 1000, 7)
		if reply.Kind != assent.KindRetryLater || reply.BlockedByGid != "younger" || !strings.Contains(reply.Reason, "which is prepared, and younger") {
			t.Errorf("%v", reply)
		}
		if waited := time.Since(began); waited > 30*time.Second {
			t.Errorf("after %v", waited)
		}
	}
	olderIsTold("free")
	var reply *assentv1.BranchReply
	// Its coordinator cannot have another's give way.
	if reply = prepare("of-another", "1", 1000, 8); reply.Kind != assent.KindRefused || !strings.Contains(reply.Reason, "younger, and of coordinator 7") {
		t.Errorf("%v", reply)
	}
	if reply = prepare("younger", "2", 2000, 7); reply.Kind != assent.KindRefused || !strings.Contains(reply.Reason, "of this same transaction") {
		t.Errorf("%v", reply)
	}
	// A try waits by the same rule.
	if reply = v.p.Execute(context.Background(), &assentv1.BranchCommand{Gid: "older-try", BranchId: "1", Operation: assent.OperationTry, Protocol: assent.ProtocolTCC,
		Service: "shop", Action: "reserve", BeganUnixMs: 1000, CoordinatorId: 7}); reply.Kind != assent.KindRetryLater || reply.BlockedByGid != "younger" {
		t.Errorf("%v", reply)
	}
	// Nor by one that has what they want, or its place in line, and waits for a younger one.
	var youngest *assentv1.BranchReply
	var group sync.WaitGroup
	group.Go(func() { youngest = prepare("youngest", "1", 3000, 7) })
	waits := func() bool {
		var waiting int
		return v.base.DB.QueryRow("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'").Scan(&waiting) == nil && waiting > 0
	}
	for _, row := range []string{"free", "more"} {
		rig.Until(t, "it waits", waits)
		olderIsTold(row)
	}
	if reply = v.two("younger", assent.OperationRollback); reply.Kind != assent.KindDone {
		t.Errorf("%v", reply)
	}
	group.Wait()
	if youngest.Kind != assent.KindDone {
		t.Errorf("%v", youngest)
	}
}

// Two transactions that each hold, prepared, what the other wants: the younger gives way.
func TestWhatWouldStandStillForEverDoesNot(t *testing.T) {
	daemon := rig.StartDaemon(t)
	base := rig.OpenPostgres(t)
	var here, there *vault
	for _, service := range []struct {
		name string
		at   **vault
	}{{"west", &here}, {"east", &there}} {
		other, err := sql.Open("pgx", base.NewDatabase())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { other.Close() })
		v := openVault(t, &rig.Database{DB: other}, assentsql.PostgreSQL)
		v.p = assent.NewParticipant(assent.ParticipantOptions{Service: service.name, Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}})
		v.register(v.p, v.keeper)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- v.p.Ask(v.keeper).Run(ctx) }()
		t.Cleanup(func() { stop(); <-ended })
		if err := v.p.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
		*service.at = v
	}
	client, err := assent.NewClient(assent.ClientOptions{Dialling: assent.Dialling{Endpoints: []string{daemon.Endpoint}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	began := time.Now()
	open := func(first string) *assent.OpenTransaction {
		one, err := client.Begin(t.Context(), assent.NewTransaction().Deadline(60*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if branch, err := one.TwoPhase(t.Context(), first, "take", nil); err != nil || branch.Refused {
			t.Fatalf("%+v %v", branch, err)
		}
		return one
	}
	older := open("west")
	defer older.Abandon()
	younger := open("east")
	defer younger.Abandon()
	var group sync.WaitGroup
	group.Go(func() {
		if branch, err := older.TwoPhase(t.Context(), "east", "take", nil); err != nil || branch.Refused {
			t.Errorf("the older one: %+v %v", branch, err)
		} else if report, err := older.Commit(t.Context()); err != nil || !report.Committed() {
			t.Errorf("the older one: %+v %v", report, err)
		}
	})
	group.Go(func() {
		if branch, err := younger.TwoPhase(t.Context(), "west", "take", nil); err == nil && !branch.Refused {
			t.Error("the younger one has got what the older one holds")
		}
	})
	group.Wait()
	if waited := time.Since(began); waited > 30*time.Second {
		t.Errorf("they stood still for %v", waited)
	}
	rig.Until(t, "both have what the older one left", func() bool { return here.free() == 90 && there.free() == 90 })
}

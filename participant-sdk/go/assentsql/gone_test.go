package assentsql_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

// A deadlock rolls all of a transaction back. What a handler that goes on writes then was committed statement by statement, without
// the barrier's row, and no compensation undid it.
func TestWhoGoesOnAfterADeadlockHasWrittenNothing(t *testing.T) {
	base := rig.OpenMariaDB(t)
	base.DB.SetMaxOpenConns(3) // the one that waits, the heavier one, and who looks: what is left of one is found by the next
	for _, answer := range []assent.Reply{assent.Done(nil), assent.Refused("sold out")} {
		b := open(t, base, assentsql.MariaDB)
		b.exec("INSERT INTO books VALUES('other', 1)")
		var runs, met int
		b.keeper.Saga(b.p, "stubborn", assentsql.Saga{Action: func(ctx context.Context, tx *sql.Tx, _ *assent.Call) (assent.Reply, error) {
			if runs++; runs > 1 { // what the adapter runs again meets nobody any more
				return assent.RetryLater("gone on after an error that did", 0), nil
			}
			for _, text := range []string{"UPDATE books SET amount = 0 WHERE what = 'free'", "UPDATE books SET amount = 0 WHERE what = 'other'",
				"INSERT INTO books VALUES('went on', 1)"} {
				if _, err := tx.ExecContext(ctx, text); err != nil && strings.Contains(err.Error(), "1213") {
					met++
				}
			}
			return answer, nil
		}})
		heavier, err := base.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		run := func(text string) {
			if _, err := heavier.ExecContext(t.Context(), text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		// The lighter one is the victim. (The server lists a statement for a moment longer than it takes to answer it: this one's must
		// not look like the handler's.)
		run("INSERT INTO books SELECT seq, 1 FROM seq_1_to_100")
		run("SELECT * FROM books WHERE what = 'other' FOR UPDATE")
		said := make(chan *assent.Reply)
		go func() {
			reply := b.p.Execute(context.Background(), commandOf("g1", assent.OperationAction, "stubborn"))
			said <- &assent.Reply{Kind: reply.Kind, Reason: reply.Reason}
		}()
		rig.Until(t, "the handler waits", func() bool {
			var one int
			return base.DB.QueryRow("SELECT 1 FROM information_schema.processlist WHERE info LIKE 'UPDATE%other%'").Scan(&one) == nil
		})
		run("SELECT * FROM books WHERE what = 'free' FOR UPDATE")
		if err := heavier.Rollback(); err != nil {
			t.Fatal(err)
		}
		reply := <-said
		if met == 0 || reply.Kind != assent.KindRetryLater || !strings.Contains(reply.Reason, "gone on after an error that did") {
			t.Errorf("%d deadlocks: %v", met, reply)
		}
		if compensated := b.p.Execute(t.Context(), commandOf("g1", assent.OperationCompensate, "stubborn")); compensated.Kind != assent.KindDone {
			t.Errorf("%v", compensated)
		}
		var rows, sum, autocommit int
		if err := base.DB.QueryRow("SELECT count(*), sum(amount) FROM books").Scan(&rows, &sum); err != nil || rows != 2 || sum != 101 {
			t.Errorf("%v: %d rows, %d in all", err, rows, sum)
		}
		// And a connection is given back as it was taken.
		var conns [3]*sql.Conn
		for at := range conns {
			if conns[at], err = base.DB.Conn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := conns[at].QueryRowContext(t.Context(), "SELECT @@autocommit").Scan(&autocommit); err != nil || autocommit != 1 {
				t.Errorf("%v: autocommit is %d", err, autocommit)
			}
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// Once the handler's time is over, another goroutine is at the rollback: what gives the connection back must not commit.
func TestAHandlerWhoseTimeIsOverHasWrittenNothing(t *testing.T) {
	base := rig.OpenMariaDB(t)
	base.DB.SetMaxOpenConns(2)
	b := open(t, base, assentsql.MariaDB)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		handler := b.keeper.Handler(func(_ context.Context, tx *sql.Tx, _ *assent.Call) (assent.Reply, error) {
			_, err := tx.ExecContext(context.Background(), "UPDATE books SET amount = 0 WHERE what = 'free'")
			cancel()
			return assent.Done(nil), err
		})
		reply, err := handler(ctx, &assent.Call{GID: "g1", BranchID: "1", Operation: assent.OperationAction, Protocol: assent.ProtocolSaga, Action: "pay"})
		if err == nil && reply.Kind == assent.KindDone {
			t.Fatal("it is done, after its time")
		}
		if b.free() != 100 {
			t.Fatalf("%d free", b.free())
		}
	}
}

// SQLite has no such safety: it is said, and no row says that it was done.
func TestSQLiteSaysThatTheTransactionIsGone(t *testing.T) {
	b := open(t, rig.OpenSQLite(t), assentsql.SQLite)
	b.keeper.Saga(b.p, "stubborn", assentsql.Saga{Action: func(ctx context.Context, tx *sql.Tx, _ *assent.Call) (assent.Reply, error) {
		if _, err := tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO books VALUES('free', 1)"); err == nil {
			t.Error("there is no such row")
		}
		return assent.Done(nil), nil
	}})
	reply := b.p.Execute(t.Context(), commandOf("g1", assent.OperationAction, "stubborn"))
	if reply.Kind != assent.KindRetryLater || !strings.Contains(reply.Reason, "gone on after an error that did") || b.free() != 100 {
		t.Errorf("%v, %d free", reply, b.free())
	}
}

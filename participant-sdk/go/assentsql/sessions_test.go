package assentsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

// Done means durable, also where synchronous_commit is off: after a crash of the server the row was gone, and what was promised
// with it was rolled back.
func TestDoneIsDurableWhereCommitsAreNot(t *testing.T) {
	base := rig.OpenPostgresWith(t, `{"max_prepared_transactions": "20", "synchronous_commit": "off", "wal_writer_delay": "10s"}`)
	v := openVault(t, base, assentsql.PostgreSQL)
	for _, one := range []struct {
		ask  func()
		free int
	}{
		{func() { v.want("1", assent.OperationTry, assent.KindDone, 90) }, 90},
		{func() { v.want("1", assent.OperationCancel, assent.KindDone, 100) }, 100},
		{func() { v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1) }, 100},
		{func() { v.expect("g1", assent.OperationCommit, assent.KindDone, 90, 0) }, 90},
	} {
		count := func() (rows, states int) {
			if err := base.DB.QueryRow("SELECT count(*), sum(state) FROM assent_barrier").Scan(&rows, &states); err != nil {
				t.Fatal(err)
			}
			return rows, states
		}
		v.exec("CHECKPOINT")
		one.ask()
		rows, states := count()
		var setting string
		if err := base.DB.QueryRow("SHOW synchronous_commit").Scan(&setting); err != nil || setting != "off" {
			t.Errorf("the session's own is %q: %v", setting, err)
		}
		base.Kill()
		base.Restart()
		rig.Until(t, "it answers", func() bool { return base.DB.Ping() == nil })
		if rowsLeft, statesLeft := count(); rowsLeft != rows || statesLeft != states || v.free() != one.free {
			t.Errorf("%d rows of %d, states %d of %d, %d free of %d", rowsLeft, rows, statesLeft, states, v.free(), one.free)
		}
	}
}

func TestAServerThatForgetsIsRefused(t *testing.T) {
	base := rig.OpenMariaDB(t)
	for _, setting := range []string{"0", "2", "3"} {
		if _, err := base.DB.Exec("SET GLOBAL innodb_flush_log_at_trx_commit = " + setting); err != nil {
			t.Fatal(err)
		}
		_, err := assentsql.Open(t.Context(), base.DB, assentsql.MariaDB)
		words := "the server has innodb_flush_log_at_trx_commit = " + setting + ": what it calls committed would not survive a power cut; set it to 1"
		if setting == "3" && err != nil || setting != "3" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// Whatever a pool's sessions are like, what is answered is committed, and what is read is not of an old snapshot: a COMMIT was
// answered with DONE and never seen by others.
func TestSessionsOfAPoolAreAsTheirOwnerLikes(t *testing.T) {
	base := rig.OpenMariaDB(t)
	for _, settings := range []string{"autocommit=0", "completion_type=1", "completion_type=2", "autocommit=0&completion_type=1"} {
		t.Run(settings, func(t *testing.T) {
			source := base.NewDatabase()
			looks, err := sql.Open("mysql", source)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { looks.Close() })
			const most = 5
			other := *base
			other.DB = sql.OpenDB(connector{base.DB.Driver(), source + "?" + settings})
			other.DB.SetMaxOpenConns(most)
			other.DB.SetMaxIdleConns(most)
			t.Cleanup(func() { other.DB.Close() })
			seen := *base
			seen.DB = looks
			for name, check := range map[string]func(*books){"same again": sameAgain, "refused": refused, "undo first": undoFirst, "old rows": oldRows} {
				t.Run(name, func(t *testing.T) {
					b := open(t, &seen, assentsql.MariaDB)
					b.over(t, other.DB)
					check(b)
				})
			}
			for name, check := range map[string]func(*vault){"both ends": bothEnds, "two processes": twoProcesses, "repeats": repeats} {
				t.Run(name, func(t *testing.T) {
					v := openVault(t, &seen, assentsql.MariaDB)
					v.books.over(t, other.DB)
					v.register(v.p, v.keeper)
					check(v)
					_ = v.keeper.Close()
				})
			}
			unchanged(t, other.DB, most, settings)
		})
	}
}

// over is what was opened, over another pool.
func (b *books) over(t *testing.T, db *sql.DB) {
	var err error
	if b.keeper, err = assentsql.Open(t.Context(), db, assentsql.MariaDB); err != nil {
		t.Fatal(err)
	}
	b.p = assent.NewParticipant(assent.ParticipantOptions{Service: "shop"})
	b.keeper.TCC(b.p, "reserve", assentsql.TCC{Try: b.add(-10), Confirm: b.add(0), Cancel: b.add(10)})
	b.keeper.Saga(b.p, "pay", assentsql.Saga{Action: b.add(-10), Compensate: b.add(10)})
}

func repeats(v *vault) {
	free := 100
	for n := range 4 {
		gid := fmt.Sprint("g", n)
		v.expect(gid, assent.OperationPrepare, assent.KindDone, free, 1)
		v.expect(gid, assent.OperationPrepare, assent.KindDone, free, 1)
		free -= 10
		for range 3 {
			v.expect(gid, assent.OperationCommit, assent.KindDone, free, 0)
		}
	}
}

func unchanged(t *testing.T, db *sql.DB, most int, settings string) {
	t.Helper()
	for range most {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var autocommit, completion string
		if err := conn.QueryRowContext(t.Context(), "SELECT @@autocommit, @@completion_type").Scan(&autocommit, &completion); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(settings, "autocommit=0") != (autocommit == "0") || strings.Contains(settings, "completion_type") != (completion != "NO_CHAIN") {
			t.Errorf("%s: autocommit %s, completion_type %s", settings, autocommit, completion)
		}
	}
}

// A handler that goes elsewhere takes neither its row with it nor those of who comes after it in the same session.
func TestAHandlerThatGoesElsewhereTakesNoRowWithIt(t *testing.T) {
	for _, kind := range kinds[1:] {
		t.Run(kind.name, func(t *testing.T) {
			base := kind.open(t)
			leave, here := "SET search_path TO elsewhere", "public."
			if kind.dialect == assentsql.MariaDB {
				leave, here = "USE elsewhere", "mysql."
			}
			v := openVault(t, base, kind.dialect)
			v.exec("CREATE SCHEMA elsewhere")
			v.exec("CREATE TABLE elsewhere.assent_barrier AS SELECT * FROM " + here + "assent_barrier")
			act := func(ctx context.Context, tx *sql.Tx, _ *assent.Call) (assent.Reply, error) {
				return assent.Done(nil), says("UPDATE "+here+"books SET amount = amount - 10", leave)(ctx, tx)
			}
			v.keeper.Saga(v.p, "leaves", assentsql.Saga{Action: act, Compensate: act})
			v.handler = act
			look := func() (rows, amount, there int) {
				t.Helper()
				if err := base.DB.QueryRow(fmt.Sprintf("SELECT (SELECT count(*) FROM %sassent_barrier), (SELECT amount FROM %sbooks), (SELECT count(*) FROM elsewhere.assent_barrier)",
					here, here)).Scan(&rows, &amount, &there); err != nil {
					t.Fatal(err)
				}
				return rows, amount, there
			}
			for n, gid := range []string{"g1", "g2", "g3"} {
				for range 2 {
					if reply := v.p.Execute(t.Context(), commandOf(gid, assent.OperationAction, "leaves")); reply.Kind != assent.KindDone {
						t.Errorf("%v", reply)
					}
				}
				if rows, amount, there := look(); rows != n+1 || amount != 90-10*n || there != 0 {
					t.Errorf("%d rows, %d free, %d rows elsewhere", rows, amount, there)
				}
			}
			for _, operation := range []assent.Operation{assent.OperationPrepare, assent.OperationPrepare, assent.OperationCommit, assent.OperationCommit} {
				if reply := v.two("p1", operation); reply.Kind != assent.KindDone {
					t.Errorf("%v: %v", operation, reply)
				}
			}
			if rows, amount, there := look(); rows != 4 || amount != 60 || there != 0 {
				t.Errorf("%d rows, %d free, %d rows elsewhere", rows, amount, there)
			}
		})
	}
}

package assentsql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"strings"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/assentv1"
	"assent.example/sdk/internal/rig"
)

// Two instances of a service may be in two languages, over one database.

// A CONFIRM that two of them ran at once took effect twice: the row's last word was that of who came last.
func TestWhereSomebodyElseWasNothingIsWritten(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			b := open(t, kind.open(t), kind.dialect)
			steal := ""
			act := func(ctx context.Context, tx *sql.Tx, _ *assent.Call) (assent.Reply, error) {
				_, err := tx.ExecContext(ctx, "UPDATE books SET amount = amount - 10")
				if err == nil && steal != "" {
					_, err = tx.ExecContext(ctx, steal) // the other one has no lock that we know of
				}
				return assent.Done(nil), err
			}
			b.keeper.Saga(b.p, "shared", assentsql.Saga{Action: act, Compensate: act})
			for _, operation := range []assent.Operation{assent.OperationAction, assent.OperationCompensate} {
				had := b.free()
				for _, steal = range []string{"UPDATE assent_barrier SET state = 6", "DELETE FROM assent_barrier"} {
					reply := b.p.Execute(t.Context(), commandOf("g1", operation, "shared"))
					if reply.Kind != assent.KindRetryLater || !strings.Contains(reply.Reason, "somebody else was at this branch") || b.free() != had {
						t.Errorf("%v, %s: %v, %d free", operation, steal, reply, b.free())
					}
				}
				steal = ""
				if reply := b.p.Execute(t.Context(), commandOf("g1", operation, "shared")); reply.Kind != assent.KindDone || b.free() != had-10 {
					t.Errorf("%v: %v, %d free", operation, reply, b.free())
				}
			}
		})
	}
}

// What another one has written of prepared work while it was committed here is not written over.
func TestWhereSomebodyElseHasSettledItsRowStays(t *testing.T) {
	for _, kind := range kinds[1:] {
		t.Run(kind.name, func(t *testing.T) {
			base := kind.open(t)
			source := base.Source
			if kind.dialect == assentsql.MariaDB {
				source += "?interpolateParams=true"
			}
			w := &wire{Connector: connector{base.DB.Driver(), source}}
			seen := *base
			seen.DB = sql.OpenDB(w)
			t.Cleanup(func() { seen.DB.Close() })
			v := openVault(t, &seen, kind.dialect)
			v.base = base
			v.expect("g1", assent.OperationPrepare, assent.KindDone, 100, 1)
			w.before = func(text string) {
				if strings.HasPrefix(text, "COMMIT PREPARED") || strings.HasPrefix(text, "XA COMMIT") {
					v.exec("UPDATE assent_barrier SET state = 6")
				}
			}
			if reply := v.two("g1", assent.OperationCommit); reply.Kind == assent.KindDone || !strings.Contains(reply.Reason, "somebody else was at this branch") {
				t.Errorf("%v", reply)
			}
			var state int
			if err := base.DB.QueryRow("SELECT state FROM assent_barrier").Scan(&state); err != nil || state != 6 {
				t.Errorf("state %d: %v", state, err)
			}
		})
	}
}

// The lock of a branch in PostgreSQL is that of the other languages.
func TestTheLockOfABranchIsThatOfOtherLanguages(t *testing.T) {
	v := openVault(t, rig.OpenPostgres(t), assentsql.PostgreSQL)
	other, err := v.base.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	sum := sha256.Sum256([]byte(`["g1", "1"]`))
	if _, err := other.ExecContext(t.Context(), "SELECT pg_advisory_lock($1)", int64(binary.BigEndian.Uint64(sum[:8]))); err != nil {
		t.Fatal(err)
	}
	said := make(chan *assentv1.BranchReply, 1)
	go func() { said <- v.two("g1", assent.OperationPrepare) }()
	rig.Until(t, "it waits, or has not waited", func() bool {
		var waiting int
		return len(said) == 1 || v.base.DB.QueryRow("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").Scan(&waiting) == nil
	})
	if len(said) == 1 {
		t.Error("it has another lock")
	}
	if _, err := other.ExecContext(t.Context(), "SELECT pg_advisory_unlock_all()"); err != nil {
		t.Fatal(err)
	}
	if reply := <-said; reply.Kind != assent.KindDone {
		t.Errorf("%v", reply)
	}
}

// Tables that were made before all SDKs had the column orphan get it.
func TestAnOlderTableGetsItsColumn(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			b := open(t, kind.open(t), kind.dialect)
			b.want("1", assent.OperationTry, assent.KindDone, 90)
			b.exec("ALTER TABLE assent_barrier DROP COLUMN orphan")
			for range 2 {
				if _, err := assentsql.Open(t.Context(), b.base.DB, kind.dialect); err != nil {
					t.Fatal(err)
				}
				b.exec("SELECT orphan FROM assent_barrier")
			}
			b.want("1", assent.OperationCancel, assent.KindDone, 100)
		})
	}
}

package assentsql_test

import (
	"strings"
	"sync"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

// What cannot keep prepared work says so before anything is asked, and what to do.
func TestWhatCannotPrepareSaysSo(t *testing.T) {
	cases := []struct {
		name    string
		dialect assentsql.Dialect
		open    func() *rig.Database
		said    string
	}{
		{"SQLite", assentsql.SQLite, func() *rig.Database { return rig.OpenSQLite(t) }, "make the action TCC"},
		{"PostgreSQL without room", assentsql.PostgreSQL, func() *rig.Database {
			return rig.OpenPostgresWith(t, `{"max_prepared_transactions": "0"}`)
		}, "set max_prepared_transactions in postgresql.conf"},
		{"MariaDB with one connection", assentsql.MariaDB, func() *rig.Database {
			base := rig.OpenMariaDB(t)
			base.DB.SetMaxOpenConns(1)
			return base
		}, "SetMaxOpenConns(2)"},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			b := open(t, one.open(), one.dialect)
			err := b.keeper.TwoPhase(t.Context(), assent.NewParticipant(assent.ParticipantOptions{Service: "shop"}), "take", b.add(-10))
			if err == nil || !strings.Contains(err.Error(), one.said) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Services that start at the same moment all find their tables: in PostgreSQL two that make the same one at once get in
// each other's way, and one of them did not start.
func TestManyStartAtOnce(t *testing.T) {
	base := rig.OpenPostgres(t)
	for range 5 {
		if _, err := base.DB.Exec("DROP TABLE IF EXISTS assent_barrier, assent_marker, assent_age"); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		begin := make(chan struct{})
		for range 12 {
			group.Go(func() {
				<-begin
				keeper, err := assentsql.Open(t.Context(), base.DB, assentsql.PostgreSQL)
				if err == nil {
					err = keeper.TwoPhase(t.Context(), assent.NewParticipant(assent.ParticipantOptions{Service: "shop"}), "take", nil)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		group.Wait()
	}
}

// A pool that is as small as it may be does not stand still, with all of it in use.
func TestASmallPoolIsEnough(t *testing.T) {
	base := rig.OpenMariaDB(t)
	base.DB.SetMaxOpenConns(2)
	v := openVault(t, base, assentsql.MariaDB)
	twoProcesses(v)
}

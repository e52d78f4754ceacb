package assentsql_test

import (
	"strings"
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

// A pool that is as small as it may be does not stand still, with all of it in use.
func TestASmallPoolIsEnough(t *testing.T) {
	base := rig.OpenMariaDB(t)
	base.DB.SetMaxOpenConns(2)
	v := openVault(t, base, assentsql.MariaDB)
	twoProcesses(v)
}

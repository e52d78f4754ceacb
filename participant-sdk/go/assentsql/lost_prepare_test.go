package assentsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
)

// deaf is a database that carries out the next statement that begins so, and gives no answer.
type deaf struct {
	driver.Connector
	verb *string
}

func (d deaf) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := d.Connector.Connect(ctx)
	return deafConn{conn, d}, err
}

type deafConn struct {
	driver.Conn
	d deaf
}

func (c deafConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
}

func (c deafConn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, arguments)
}

func (c deafConn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, arguments)
	query = strings.NewReplacer("public.", "", "`mysql`.", "").Replace(query)
	if err == nil && *c.d.verb != "" && strings.HasPrefix(query, *c.d.verb) {
		*c.d.verb = ""
		return nil, errors.New("connection reset by peer")
	}
	return result, err
}

// Each of the statements that make prepared work durable, or end it: without an answer it is neither a yes nor a no, and
// what is asked next finds what there is. So is a row that says so.
func TestALostPrepareIsNeitherYesNorNo(t *testing.T) {
	for _, kind := range kinds[1:] {
		t.Run(kind.name, func(t *testing.T) {
			base := kind.open(t)
			verb := ""
			deafened := *base
			source := base.Source
			if kind.dialect == assentsql.MariaDB {
				source += "?interpolateParams=true" // so that statements with parameters come by here as well
			}
			deafened.DB = sql.OpenDB(deaf{connector{base.DB.Driver(), source}, &verb})
			t.Cleanup(func() { deafened.DB.Close() })
			v := openVault(t, &deafened, kind.dialect)
			verbs := []string{"PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED"}
			if kind.dialect == assentsql.MariaDB {
				verbs = []string{"XA PREPARE", "XA COMMIT", "XA ROLLBACK"}
			}
			lose := func(what, gid string, operation assent.Operation, free, prepared int) {
				t.Helper()
				verb = what
				if lost := v.two(gid, operation); lost.Kind != assent.KindUnknown || lost.Reason == "" || verb != "" {
					t.Errorf("%s: %v %q", what, lost.Kind, lost.Reason)
				}
				v.expect(gid, operation, assent.KindDone, free, prepared)
			}
			lose(verbs[0], "g1", assent.OperationPrepare, 100, 1)
			lose(verbs[1], "g1", assent.OperationCommit, 90, 0)
			lose("INSERT INTO assent_barrier", "g2", assent.OperationPrepare, 90, 1)
			lose(verbs[2], "g2", assent.OperationRollback, 90, 0)
			lose("INSERT INTO assent_barrier", "g3", assent.OperationRollback, 90, 0)
			v.expect("g4", assent.OperationPrepare, assent.KindDone, 90, 1)
			lose("UPDATE assent_barrier", "g4", assent.OperationCommit, 80, 0)
			if v.runs[assent.OperationPrepare] != 5 { // g1 and g2 twice, g4 once
				t.Errorf("the handler ran %d times", v.runs[assent.OperationPrepare])
			}
		})
	}
}

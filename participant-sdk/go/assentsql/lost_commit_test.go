package assentsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	assent "assent.example/sdk"
	"assent.example/sdk/assentsql"
	"assent.example/sdk/internal/rig"
)

// losing is a database whose next commit gets no answer, done or not.
type losing struct {
	driver.Connector
	lose *bool
	done *bool
}

func (l losing) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := l.Connector.Connect(ctx)
	return losingConn{conn, l}, err
}

type losingConn struct {
	driver.Conn
	l losing
}

func (c losingConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	return losingTx{tx, c.l}, err
}

func (c losingConn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, arguments)
}

func (c losingConn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, arguments)
}

type losingTx struct {
	driver.Tx
	l losing
}

func (t losingTx) Commit() error {
	if !*t.l.lose {
		return t.Tx.Commit()
	}
	*t.l.lose = false
	if *t.l.done {
		if err := t.Tx.Commit(); err != nil {
			return err
		}
	} else if err := t.Tx.Rollback(); err != nil {
		return err
	}
	return errors.New("connection reset by peer")
}

type connector struct {
	of     driver.Driver
	source string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.of.Open(c.source) }

func (c connector) Driver() driver.Driver { return c.of }

// A failed commit is neither a yes nor a no: said so, it is asked again, and whatever became of it has one effect.
func TestALostCommitIsNeitherYesNorNo(t *testing.T) {
	for _, done := range []bool{true, false} {
		lose := false
		plain, err := sql.Open("sqlite", "")
		if err != nil {
			t.Fatal(err)
		}
		source := t.TempDir() + "/books.db?_pragma=busy_timeout(10000)&_txlock=immediate"
		db := sql.OpenDB(losing{connector{plain.Driver(), source}, &lose, &done})
		t.Cleanup(func() { plain.Close(); db.Close() })
		b := open(t, &rig.Database{DB: db}, assentsql.SQLite)
		for _, operation := range []assent.Operation{assent.OperationTry, assent.OperationConfirm} {
			lose = true
			if lost := b.ask("1", operation); lost.Kind != assent.KindUnknown || lost.Reason == "" {
				t.Errorf("done %v, %v: %v %q", done, operation, lost.Kind, lost.Reason)
			}
			b.want("1", operation, assent.KindDone, 90)
		}
		lose = true
		if lost := b.ask("2", assent.OperationCancel); lost.Kind != assent.KindUnknown {
			t.Errorf("done %v: a tombstone that may not be there was answered with %v", done, lost.Kind)
		}
		b.want("2", assent.OperationCancel, assent.KindDone, 90)
		b.want("2", assent.OperationTry, assent.KindRefused, 90)
	}
}

package assentsql

import (
	"context"
	"database/sql"
	"strings"
)

// Sessions of a pool of MariaDB are as their owner has made them: with autocommit = 0 what we write is not committed, and an old
// snapshot is read; with completion_type = CHAIN another transaction follows on a commit. Ours are as we need them, and are given
// back as they were.
const (
	asItWas      = "@assent_autocommit = @@autocommit, @assent_completion_type = @@completion_type"
	asItWasAgain = "autocommit = @assent_autocommit, completion_type = @assent_completion_type, @assent_autocommit = NULL"
)

// local are the transactions of our own, in the user's database.
type local struct {
	db      *sql.DB
	dialect Dialect
	names   *strings.Replacer          // of the tables, by their full names
	more    struct{ set, back string } // of a session of MariaDB, beside those below
}

// begin is a local transaction, and what is to be done when it is over. A rollback's own failure ends the connection, and with it
// the transaction.
func (l *local) begin(ctx context.Context, options *sql.TxOptions) (*sql.Tx, func(committed bool), error) {
	if l.dialect != MariaDB {
		tx, err := l.db.BeginTx(ctx, options)
		return tx, func(bool) { _ = tx.Rollback() }, err
	}
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	// A deadlock rolls all of a transaction back, and a handler that goes on after it would commit each of its statements.
	var tx *sql.Tx
	if _, err = conn.ExecContext(ctx, "SET "+asItWas+l.more.set+", autocommit = 0, completion_type = 0"); err == nil {
		tx, err = conn.BeginTx(ctx, options)
	}
	if err != nil {
		giveBack(conn, false, l.more.back)
		return nil, nil, err
	}
	return tx, func(committed bool) { _ = tx.Rollback(); giveBack(conn, committed, l.more.back) }, nil
}

// giveBack leaves a connection as it was found. Once ctx has ended, another goroutine is at the rollback, which may not have
// happened yet: and SET autocommit = 1 commits.
func giveBack(conn *sql.Conn, committed bool, more string) {
	ctx, cancel := context.WithTimeout(context.Background(), giveBackTimeout)
	defer cancel()
	var err error
	if !committed {
		_, err = conn.ExecContext(ctx, "ROLLBACK")
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "SET "+asItWasAgain+more)
	}
	if err != nil {
		drop(conn)
	}
	_ = conn.Close()
}

// alone runs what is no part of an operation; over MariaDB in a transaction of its own.
func (l *local) alone(ctx context.Context, do func(querier) error) error {
	if l.dialect != MariaDB {
		return do(l.db)
	}
	return l.inTransaction(ctx, nil, do)
}

func (l *local) inTransaction(ctx context.Context, options *sql.TxOptions, do func(querier) error) error {
	tx, end, err := l.begin(ctx, options)
	if err != nil {
		return err
	}
	isDone := false
	defer func() { end(isDone) }()
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	isDone = true
	return nil
}

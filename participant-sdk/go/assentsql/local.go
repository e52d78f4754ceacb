package assentsql

import (
	"context"
	"database/sql"
)

// Sessions of a pool of MariaDB are as their owner has made them: with autocommit = 0 what we write is not committed, and an old
// snapshot is read; with completion_type = CHAIN another transaction follows on a commit. Ours are as we need them, and are given
// back as they were.
const (
	asItWas      = "@assent_autocommit = @@autocommit, @assent_completion_type = @@completion_type"
	asItWasAgain = "autocommit = @assent_autocommit, completion_type = @assent_completion_type, @assent_autocommit = NULL"
)

// begin is a local transaction, and what is to be done when it is over. A rollback's own failure ends the connection, and with it
// the transaction.
func (k *Keeper) begin(ctx context.Context) (*sql.Tx, func(committed bool), error) {
	if k.dialect != MariaDB {
		tx, err := k.db.BeginTx(ctx, nil)
		return tx, func(bool) { _ = tx.Rollback() }, err
	}
	conn, err := k.db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	// A deadlock rolls all of a transaction back, and a handler that goes on after it would commit each of its statements.
	var tx *sql.Tx
	if _, err = conn.ExecContext(ctx, "SET "+asItWas+", autocommit = 0, completion_type = 0"); err == nil {
		tx, err = conn.BeginTx(ctx, nil)
	}
	if err != nil {
		giveBack(conn, false)
		return nil, nil, err
	}
	return tx, func(committed bool) { _ = tx.Rollback(); giveBack(conn, committed) }, nil
}

// giveBack leaves a connection as it was found. Once ctx has ended, another goroutine is at the rollback, which may not have
// happened yet: and SET autocommit = 1 commits.
func giveBack(conn *sql.Conn, committed bool) {
	ctx, cancel := context.WithTimeout(context.Background(), giveBackTimeout)
	defer cancel()
	var err error
	if !committed {
		_, err = conn.ExecContext(ctx, "ROLLBACK")
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "SET "+asItWasAgain)
	}
	if err != nil {
		drop(conn)
	}
	_ = conn.Close()
}

// alone runs what is no part of an operation; over MariaDB in a transaction of its own.
func (k *Keeper) alone(ctx context.Context, do func(querier) error) error {
	if k.dialect != MariaDB {
		return do(k.db)
	}
	return k.inTransaction(ctx, do)
}

func (k *Keeper) inTransaction(ctx context.Context, do func(querier) error) error {
	tx, end, err := k.begin(ctx)
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

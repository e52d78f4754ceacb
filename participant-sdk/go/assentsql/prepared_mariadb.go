package assentsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

// mariadb keeps prepared work by XA (MariaDB 10.5 and MySQL 8 keep it when its connection ends, older ones do not).
type mariadb struct{ k *Keeper }

const (
	xaFormat = 0x4153 // of an XA id: "AS"
	// The server tells nobody when the connection that prepared is gone, before which nobody else can end the work.
	detachesWithin = 5 * time.Second
	lockSeconds    = 5
)

func (m mariadb) ready(ctx context.Context) error {
	if most := m.k.db.Stats().MaxOpenConnections; most == 1 {
		return errors.New("XA needs two connections at once: SetMaxOpenConns(2) or more")
	} else if most > 0 {
		// Who prepares holds one connection and wants another, and who is to end that work holds one while it waits: so many
		// at once that there is always another.
		m.k.room = make(chan struct{}, most/2)
	}
	return m.k.create(ctx, `CREATE TABLE IF NOT EXISTS assent_marker(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB`)
}

func lockName(call *assent.Call) string { return fmt.Sprintf("assent/%x", uint64(keyOf(call))) }

func (m mariadb) lock(ctx context.Context, conn *sql.Conn, call *assent.Call) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", lockName(call), lockSeconds).Scan(&got)
	if err == nil && got.Int64 != 1 {
		err = errors.New("somebody else is at it")
	}
	return err
}

func (m mariadb) unlock(ctx context.Context, conn *sql.Conn, call *assent.Call) error {
	var released sql.NullInt64
	return conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?)", lockName(call)).Scan(&released)
}

// work has a connection of its own: one that has prepared something can do nothing else until that is settled. It ends.
func (m mariadb) work(ctx context.Context, _ *sql.Conn, h Handler, call *assent.Call) (assent.Reply, barrier.State, error) {
	conn, err := m.k.db.Conn(ctx)
	if err != nil {
		return assent.Reply{}, barrier.None, err
	}
	defer func() { drop(conn); _ = conn.Close() }()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return assent.Reply{}, barrier.None, err
	}
	defer func() { _ = tx.Rollback() }() // which the server refuses from here on: it is XA's
	for _, text := range []string{"COMMIT", fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", int(max(m.k.LockTimeout.Seconds(), 1))), "XA START " + xaName(call)} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return assent.Reply{}, barrier.None, err
		}
	}
	reply, err := h(ctx, tx, call)
	if numberOf(err) == 1205 {
		return assent.RetryLater("a row is locked by another transaction: "+err.Error(), 0), barrier.None, nil
	}
	if err != nil {
		return assent.Reply{}, barrier.None, err
	}
	reply = normalized(reply, call)
	state := barrier.After(call, reply, reply.Kind != assent.KindDoneReadOnly)
	if state != barrier.Prepared {
		return reply, state, nil // the server rolls back what ends with its connection
	}
	return reply, state, m.prepare(ctx, tx, call)
}

func (m mariadb) prepare(ctx context.Context, tx *sql.Tx, call *assent.Call) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO assent_marker VALUES (?, ?)", call.GID, call.BranchID); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "XA END "+xaName(call)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "XA PREPARE "+xaName(call)); err != nil && !isNotDone(err) {
		return lostWith("XA PREPARE had no answer", err)
	} else if err != nil {
		return err
	}
	return nil
}

func (m mariadb) isPrepared(ctx context.Context, conn *sql.Conn, call *assent.Call) (bool, error) {
	rows, err := conn.QueryContext(ctx, "XA RECOVER")
	if err != nil {
		return false, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		var format, gidBytes, branchBytes int
		var data string
		if err := rows.Scan(&format, &gidBytes, &branchBytes, &data); err != nil {
			return false, err
		}
		found = found || format == xaFormat && gidBytes == len(call.GID) && branchBytes == len(call.BranchID) && data == call.GID+call.BranchID
	}
	return found, rows.Err()
}

func (m mariadb) end(ctx context.Context, conn *sql.Conn, call *assent.Call, commits bool) error {
	verb := "XA ROLLBACK "
	if commits {
		verb = "XA COMMIT "
	}
	for end := time.Now().Add(detachesWithin); ; {
		_, err := conn.ExecContext(ctx, verb+xaName(call))
		if err == nil {
			return nil
		}
		if number := numberOf(err); number != 1397 && number != 1440 { // XAER_NOTA, XAER_DUPID
			return lostWith(verb+"had no answer", err)
		}
		if is, wrong := m.isPrepared(ctx, conn, call); wrong != nil || !is {
			return wrong // settled meanwhile: the marker says how
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// xaName has two literals. Neither can have a quote, and both are at most 64 bytes, as XA wants them.
func xaName(call *assent.Call) string {
	return fmt.Sprintf("'%s','%s',%d", call.GID, call.BranchID, xaFormat)
}

package assentsql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

// mariadb keeps prepared work by XA (MariaDB 10.5 and MySQL 8 keep it when its connection ends, older ones do not).
type mariadb struct{ k *Keeper }

const (
	xaFormat = 0x4153 // of an XA id: "AS"
	// Seconds that one waits for who is at the same branch, and for the lock of a session that is ending.
	lockSeconds = 5
	endSeconds  = 2
)

func (m mariadb) ready(ctx context.Context) error {
	kept := MaxKeptSessions
	if most := m.k.db.Stats().MaxOpenConnections; most == 1 {
		return errors.New("XA needs two connections at once: SetMaxOpenConns(2) or more")
	} else if most > 0 {
		// Who prepares holds one connection and wants another, and who is to end that work holds one while it waits: so many
		// at once that there is always another.
		m.k.room = make(chan struct{}, most/2)
		kept = most - most/2 - 1 // and one that is left for the service itself
	}
	m.k.sessions = newXaSessions(kept)
	return m.k.create(ctx, `CREATE TABLE IF NOT EXISTS assent_marker(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB`)
}

// lockName is that of the SDKs of other languages.
func lockName(call *assent.Call) string {
	sum := sha256.Sum256([]byte(call.GID + "/" + call.BranchID))
	return fmt.Sprintf("assent/%x", sum[:20])
}

// workLockName is of the session that works on what is to be prepared. Whoever has the lock of the branch ends the session that
// has this one: nothing of a client that has gone comes late.
func workLockName(call *assent.Call) string { return lockName(call) + "/work" }

func getLock(ctx context.Context, conn *sql.Conn, name string, seconds int) (bool, error) {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", name, seconds).Scan(&got)
	return got.Int64 == 1, err
}

func (m mariadb) lock(ctx context.Context, conn *sql.Conn, call *assent.Call) error {
	var got sql.NullInt64
	var isUsual bool
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?), @@autocommit = 1 AND @@completion_type = 'NO_CHAIN'", lockName(call), lockSeconds).
		Scan(&got, &isUsual)
	if err == nil && got.Int64 != 1 {
		err = errors.New("somebody else is at it")
	}
	if err == nil && !isUsual {
		_, err = conn.ExecContext(ctx, "SET "+asItWas+", autocommit = 1, completion_type = 0")
	}
	return err
}

func (m mariadb) unlock(ctx context.Context, conn *sql.Conn, call *assent.Call) error {
	var released sql.NullInt64
	var isUsual bool
	err := conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?), @assent_autocommit IS NULL", lockName(call)).Scan(&released, &isUsual)
	if err == nil && !isUsual {
		_, err = conn.ExecContext(ctx, "SET "+asItWasAgain)
	}
	return err
}

// work has a session of its own, which is kept if it has prepared something.
func (m mariadb) work(ctx context.Context, main *sql.Conn, h Handler, call *assent.Call) (reply assent.Reply, state barrier.State, err error) {
	m.k.sessions.beginPreparing()
	var conn *sql.Conn
	isKept := false
	defer func() {
		if !isKept {
			endSession(conn)
			m.k.sessions.endPreparing()
		}
	}()
	if conn, err = m.k.db.Conn(ctx); err != nil {
		return assent.Reply{}, barrier.None, err
	}
	got, err := getLock(ctx, conn, workLockName(call), lockSeconds)
	if err == nil && !got {
		err = errors.New("another session works on this branch")
	}
	if err == nil {
		var worker sql.NullInt64
		if worker, err = m.workerOf(ctx, main, call); err == nil && !worker.Valid {
			// One address, and behind it two servers: a promise would be in one, its row in the other.
			err = errors.New("two connections have found two servers; connect to the server itself")
		}
	}
	if err != nil {
		return assent.Reply{}, barrier.None, err
	}
	reply, state, err = m.workIn(ctx, conn, h, call)
	if err == nil && state == barrier.Prepared {
		isKept = true
		m.k.sessions.keep(branchOf(call), conn)
	}
	return reply, state, err
}

func (m mariadb) workIn(ctx context.Context, conn *sql.Conn, h Handler, call *assent.Call) (assent.Reply, barrier.State, error) {
	// It is ended when it is no longer kept, and nobody else gets it as it is.
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d, autocommit = 1, completion_type = 0",
		int(max(m.k.LockTimeout.Seconds(), 1)))); err != nil {
		return assent.Reply{}, barrier.None, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return assent.Reply{}, barrier.None, err
	}
	defer func() { _ = tx.Rollback() }() // which the server refuses from here on: it is XA's
	for _, text := range []string{"COMMIT", "XA START " + xaName(call)} {
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
	if _, err := tx.ExecContext(ctx, m.k.sql("INSERT INTO assent_marker VALUES (?, ?)"), call.GID, call.BranchID); err != nil {
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

// markOf the branch, of which no word of XA's is believed: its row is locked as long as something is prepared, and then there
// if that was committed, or not there.
func (m mariadb) markOf(ctx context.Context, conn *sql.Conn, call *assent.Call) (mark, error) {
	var found int
	err := conn.QueryRowContext(ctx, m.k.sql("SELECT 1 FROM assent_marker FORCE INDEX(PRIMARY) WHERE gid = ? AND branch_id = ? FOR UPDATE NOWAIT"),
		call.GID, call.BranchID).Scan(&found)
	switch number := numberOf(err); {
	case err == nil:
		return committed, nil
	case errors.Is(err, sql.ErrNoRows):
		return absent, nil
	case number == 1205 || number == 3572: // it is locked: MariaDB's, MySQL's
		return held, nil
	}
	return absent, err
}

// workerOf is who has the lock of the working session.
func (m mariadb) workerOf(ctx context.Context, conn *sql.Conn, call *assent.Call) (worker sql.NullInt64, err error) {
	err = conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", workLockName(call)).Scan(&worker)
	return worker, err
}

// look: afterwards no session works on the branch any more but one that is kept here, and has prepared it.
func (m mariadb) look(ctx context.Context, conn *sql.Conn, call *assent.Call) (mark, error) {
	worker, err := m.workerOf(ctx, conn, call)
	if err != nil {
		return absent, err
	}
	if worker.Valid && m.k.sessions.has(branchOf(call)) {
		return held, nil // it can do nothing else
	}
	endSession(m.k.sessions.take(branchOf(call)))
	if worker.Valid {
		if err := m.endWorker(ctx, conn, worker.Int64, call); err != nil {
			return absent, err
		}
	}
	return m.markOf(ctx, conn, call)
}

// endWorker ends a session whose client has gone, or is another process.
func (m mariadb) endWorker(ctx context.Context, conn *sql.Conn, worker int64, call *assent.Call) error {
	_, err := conn.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", worker))
	if number := numberOf(err); err != nil && number != 1094 && number != 1095 { // it has ended, or is another user's
		return err
	}
	got, err := getLock(ctx, conn, workLockName(call), endSeconds)
	if err == nil && !got {
		err = errors.New("the session that worked on this branch has not ended yet")
	}
	if err != nil {
		return err
	}
	var released sql.NullInt64
	return conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?)", workLockName(call)).Scan(&released)
}

// end settles what is prepared, in the session that has prepared it if there is one.
func (m mariadb) end(ctx context.Context, conn *sql.Conn, call *assent.Call, commits bool) (mark, error) {
	verb, wanted := "XA ROLLBACK ", absent
	if commits {
		verb, wanted = "XA COMMIT ", committed
	}
	session := m.k.sessions.take(branchOf(call))
	defer func() { endSession(session) }()
	in := session
	if session == nil {
		in = conn
		if err := m.k.sessions.waitDetached(ctx, branchOf(call)); err != nil {
			return held, err
		}
	}
	said := "OK"
	if _, err := in.ExecContext(ctx, verb+xaName(call)); err != nil {
		if number := numberOf(err); number != 1397 && number != 1440 { // XAER_NOTA, XAER_DUPID: none, or another session's
			return held, lostWith(verb+"had no answer", err)
		}
		said = err.Error()
	}
	found, err := m.markOf(ctx, conn, call)
	switch {
	case err != nil:
		return held, lostWith("its marker cannot be read", err)
	case found == held:
		return held, fmt.Errorf("it is still prepared, but MariaDB said to %s: %s -- if this lasts, restart MariaDB, which finds it again",
			strings.TrimSpace(verb), said)
	case found != wanted:
		return held, errors.New("it was ended by somebody else at this moment")
	}
	m.k.sessions.forgetDetached(branchOf(call))
	return found, nil
}

// xaName has two literals. Neither can have a quote, and both are at most 64 bytes, as XA wants them.
func xaName(call *assent.Call) string {
	return fmt.Sprintf("'%s','%s',%d", call.GID, call.BranchID, xaFormat)
}

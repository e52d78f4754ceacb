package assentsql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

// Two-phase commit. First the handler's work is made durable and unseen (PREPARE TRANSACTION, XA PREPARE), with a row of
// assent_marker in it; then the barrier's row says so; and only then PREPARE is answered. So work that is prepared
// without a row was promised to nobody, and goes; and a row without prepared work has been settled: the marker, which is
// there if it was committed, says how. A branch has one owner at a time, by a lock of the server, whatever processes ask.

// mark is what a branch's row of assent_marker says.
type mark int

const (
	absent    mark = iota // nothing is prepared, or it was rolled back
	held                  // something is prepared
	committed             // it was
)

// preparer is what the databases do not have in common.
type preparer interface {
	// ready says what the server lacks, and what to do about it; then there are its tables.
	ready(ctx context.Context) error
	// lock makes the branch ours for as long as the connection has not unlocked it, or lives.
	lock(ctx context.Context, conn *sql.Conn, call *assent.Call) error
	unlock(ctx context.Context, conn *sql.Conn, call *assent.Call) error
	// work runs the handler, and prepares what it wrote if the state is Prepared; else nothing of it is left.
	work(ctx context.Context, conn *sql.Conn, h Handler, call *assent.Call) (assent.Reply, barrier.State, error)
	// look is to be asked with the branch locked.
	look(ctx context.Context, conn *sql.Conn, call *assent.Call) (mark, error)
	// end commits or rolls back what is prepared, after a look, and says what it has come to.
	end(ctx context.Context, conn *sql.Conn, call *assent.Call, commits bool) (mark, error)
}

func (k *Keeper) preparer() preparer {
	if k.dialect == MariaDB {
		return mariadb{k}
	}
	return postgresql{k}
}

// TwoPhase registers an action whose work the database keeps prepared, durable and unseen, until the decision: PostgreSQL
// by PREPARE TRANSACTION, MariaDB and MySQL by XA. Its one handler is that of PREPARE; the database itself commits or rolls
// back what it wrote. Participant.Ask(keeper) is needed. An error says what the server has to be told first.
func (k *Keeper) TwoPhase(ctx context.Context, p *assent.Participant, action string, prepare Handler) error {
	if k.dialect == SQLite {
		return errors.New("assentsql: SQLite cannot keep prepared work durable and unseen: make the action TCC, or use PostgreSQL or MariaDB")
	}
	if !k.prepares {
		if err := k.preparer().ready(ctx); err != nil {
			return fmt.Errorf("assentsql: %w", err)
		}
		k.prepares = true
	}
	handlers := assent.TwoPhase{Commit: k.settle, Rollback: k.settle}
	if prepare != nil {
		handlers.Prepare = func(ctx context.Context, call *assent.Call) (assent.Reply, error) {
			return again(func() (assent.Reply, error) {
				if call.OnePhase { // the sole branch: its COMMIT, which follows, finds it done
					return k.once(ctx, k.claim, prepare, call)
				}
				return k.ownBranch(ctx, call, func(conn *sql.Conn) (assent.Reply, error) { return k.prepare(ctx, conn, prepare, call) })
			})
		}
	}
	p.TwoPhase(action, handlers)
	return nil
}

// ownBranch runs do while nobody else is at the branch. Whatever it errs with ends the connection, and with it the lock and
// what was not made durable.
func (k *Keeper) ownBranch(ctx context.Context, call *assent.Call, do func(*sql.Conn) (assent.Reply, error)) (assent.Reply, error) {
	if k.room != nil {
		select {
		case k.room <- struct{}{}:
			defer func() { <-k.room }()
		case <-ctx.Done():
			return assent.RetryLater("the pool has no connection left for it", 0), nil
		}
	}
	conn, err := k.db.Conn(ctx)
	if err != nil {
		return assent.RetryLater("there is no connection: "+err.Error(), 0), nil
	}
	clean := false
	defer func() {
		if !clean {
			drop(conn)
		}
		_ = conn.Close()
	}()
	if err := k.preparer().lock(ctx, conn, call); err != nil {
		return assent.RetryLater("the branch cannot be locked: "+err.Error(), 0), nil
	}
	reply, err := do(conn)
	switch {
	case err == nil:
		clean = k.preparer().unlock(ctx, conn, call) == nil
		return reply, nil
	case errors.As(err, &lost{}):
		return assent.Reply{}, err
	case isTransient(err):
		return assent.RetryLater(err.Error(), 0), err
	}
	return assent.RetryLater(err.Error(), 0), nil
}

// drop has the connection closed, and not used again.
func drop(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

func (k *Keeper) prepare(ctx context.Context, conn *sql.Conn, h Handler, call *assent.Call) (assent.Reply, error) {
	row, err := k.find(ctx, conn, call.GID, call.BranchID, "")
	if err != nil {
		return assent.Reply{}, err
	}
	if row.isCommittedAlone {
		return committedAlone(call), nil
	}
	if move, reply := barrier.Open(call, row.Row); move != barrier.Run {
		return reply, nil
	}
	if err := k.dropUnpromised(ctx, conn, call); err != nil {
		return assent.Reply{}, err
	}
	reply, state, err := k.preparer().work(ctx, conn, h, call)
	if err != nil || state == barrier.None {
		return reply, err
	}
	if err := k.keep(ctx, conn, call, state, reply); err != nil {
		return assent.Reply{}, lostWith("the row of prepared work was not written", err)
	}
	return reply, nil
}

// keep writes the row of a branch that has none; with the age of prepared work, by which others know who gives way.
func (k *Keeper) keep(ctx context.Context, conn *sql.Conn, call *assent.Call, state barrier.State, first assent.Reply) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if state == barrier.Prepared && k.dialect == PostgreSQL {
		_, err := tx.ExecContext(ctx, k.sql("INSERT INTO assent_age VALUES (?, ?, ?) ON CONFLICT (gid) DO NOTHING"),
			call.GID, call.BeganUnixMS, int64(call.CoordinatorID))
		if err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, k.durably(`INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, second_result,
coordinator_id, began_epoch, touched_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`), call.GID, call.BranchID, int(call.Protocol), call.Action,
		int(state), int(first.Kind), bytesOf(first.Result), first.Reason, []byte{}, int64(call.CoordinatorID), int64(call.BeganEpoch), k.now().UnixMilli())
	if err != nil {
		return err
	}
	return tx.Commit()
}

// dropUnpromised: prepared work without a row. Whoever prepared it died before it could answer.
func (k *Keeper) dropUnpromised(ctx context.Context, conn *sql.Conn, call *assent.Call) error {
	found, err := k.preparer().look(ctx, conn, call)
	if err == nil && found == held {
		_, err = k.preparer().end(ctx, conn, call, false)
	}
	return err
}

// settle is COMMIT and ROLLBACK.
func (k *Keeper) settle(ctx context.Context, call *assent.Call) (assent.Reply, error) {
	return again(func() (assent.Reply, error) {
		return k.ownBranch(ctx, call, func(conn *sql.Conn) (assent.Reply, error) { return k.settleOn(ctx, conn, call) })
	})
}

func (k *Keeper) settleOn(ctx context.Context, conn *sql.Conn, call *assent.Call) (assent.Reply, error) {
	row, err := k.find(ctx, conn, call.GID, call.BranchID, "")
	if err != nil {
		return assent.Reply{}, err
	}
	if row.isCommittedAlone {
		return committedAlone(call), nil
	}
	move, reply := barrier.Open(call, row.Row)
	if move == barrier.Bury {
		if err := k.dropUnpromised(ctx, conn, call); err != nil {
			return assent.Reply{}, err
		}
		if err := k.keep(ctx, conn, call, barrier.Tombstone, reply); err != nil {
			return assent.Reply{}, lostWith("the row of a branch that never came was not written", err)
		}
	}
	if move != barrier.Run {
		return reply, nil
	}
	commits := call.Operation == assent.OperationCommit
	found, err := k.preparer().look(ctx, conn, call)
	if err == nil && found == held {
		found, err = k.preparer().end(ctx, conn, call, commits)
	}
	if err != nil {
		return assent.Reply{}, err
	}
	if (found == committed) != commits {
		how := "rolled back"
		if found == committed {
			how = "committed"
		}
		return assent.Refused("HAZARD: its prepared work is gone from the database: it was " + how + " by somebody else"), nil
	}
	return assent.Done(nil), k.settled(ctx, conn, call, commits)
}

// settled: the row says what has become of the work, and what was kept beside it goes.
func (k *Keeper) settled(ctx context.Context, conn *sql.Conn, call *assent.Call, commits bool) error {
	state := barrier.Undone
	if commits {
		state = barrier.Finished
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return lostWith("its row was not written", err)
	}
	defer func() { _ = tx.Rollback() }()
	err = k.move(ctx, tx, call, barrier.Prepared, "state = ?", int(state))
	if err == nil {
		_, err = tx.ExecContext(ctx, k.sql("DELETE FROM assent_marker WHERE gid = ? AND branch_id = ?"), call.GID, call.BranchID)
	}
	if err == nil && k.dialect == PostgreSQL {
		_, err = tx.ExecContext(ctx, k.sql("DELETE FROM assent_age a WHERE gid = ? AND NOT EXISTS (SELECT 1 FROM assent_barrier b WHERE b.gid = a.gid AND b.state = ?)"),
			call.GID, int(barrier.Prepared))
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return lostWith("its row was not written", err)
	}
	return nil
}

// keyOf a branch: 64 bits, and those of all languages. Two branches that share one wait for each other, and nothing else comes of it.
func keyOf(call *assent.Call) int64 {
	sum := sha256.Sum256([]byte(`["` + call.GID + `", "` + call.BranchID + `"]`))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

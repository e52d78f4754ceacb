package assentsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

const (
	lookEvery = 50 * time.Millisecond
	// Where the coordinator's doubling of the wait starts for who was told that a row is taken.
	askAgain = 5 * time.Millisecond
)

// watch sees, from another connection, whose prepared work a handler waits for in PostgreSQL, if it waits for long. Everybody
// waits for older transactions only (participant-sdk/cpp/barrier/DESIGN.md), so that two that hold what the other wants do
// not stand still.
type watch struct {
	k      *Keeper
	call   *assent.Call
	pid    int
	ctx    context.Context // of its own looking
	cancel context.CancelFunc

	mutex  sync.Mutex
	timer  *time.Timer
	ended  bool
	holder *holder
}

// holder of what is waited for.
type holder struct {
	gid, branchID string
	beganUnixMS   int64 // 0: not known
	coordinatorID uint32
}

// beginWatch also bounds how long a row is waited for in tx.
func (k *Keeper) beginWatch(ctx context.Context, tx *sql.Tx, call *assent.Call) (*watch, error) {
	w := &watch{k: k, call: call}
	var set string
	if err := tx.QueryRowContext(ctx, "SELECT pg_backend_pid(), set_config('lock_timeout', $1, true)",
		fmt.Sprint(k.LockTimeout.Milliseconds())).Scan(&w.pid, &set); err != nil {
		return nil, err
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.timer = time.AfterFunc(lookEvery, w.look)
	return w, nil
}

// end: afterwards it interrupts nothing any more.
func (w *watch) end() {
	w.cancel()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.ended = true
	w.timer.Stop()
}

func (w *watch) look() {
	found, err := w.find()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.ended {
		return
	}
	if err == nil {
		w.holder = found
	}
	if found != nil && (w.isYounger(found) || found.gid == w.call.GID) {
		// It need not wait any longer to say so.
		if _, err := w.k.db.ExecContext(w.ctx, "SELECT pg_cancel_backend($1)", w.pid); err == nil {
			return
		}
	}
	w.timer.Reset(lookEvery)
}

// Who waits for a row waits for the transaction that has it, which may itself wait for one that is prepared; who comes second
// waits for a lock on the row, which the first one has. The youngest one that is prepared.
const findHolder = `WITH RECURSIVE waits(pid) AS (SELECT $1::int UNION
  SELECT other FROM waits, unnest(pg_blocking_pids(waits.pid)) other WHERE other <> 0)
SELECT p.gid, coalesce(a.began_unix_ms, 0), coalesce(a.coordinator_id, 0), waits.pid = $1 FROM waits
  JOIN pg_locks l ON l.pid = waits.pid AND NOT l.granted AND l.locktype = 'transactionid'
  JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
  LEFT JOIN assent_age a ON a.gid = split_part(p.gid, '/', 2) ORDER BY a.began_unix_ms DESC NULLS LAST LIMIT 1`

// find says for whose prepared work the backend waits; nil: for none.
func (w *watch) find() (*holder, error) {
	var name string
	var coordinator int64
	var direct bool
	found := &holder{}
	err := w.k.db.QueryRowContext(w.ctx, w.k.sql(findHolder), w.pid).Scan(&name, &found.beganUnixMS, &coordinator, &direct)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != "assent" {
		return nil, nil
	}
	found.gid, found.branchID, found.coordinatorID = parts[1], parts[2], uint32(coordinator)
	if found.gid == w.call.GID && !direct {
		return nil, nil // what stands between will give way
	}
	return found, nil
}

func (w *watch) isForward() bool { return barrier.RoleOf(w.call.Operation) == barrier.Forward }

// isYounger: the holder, than one who waits for it and holds something itself. What is not known is compared with nothing.
func (w *watch) isYounger(h *holder) bool {
	if !w.isForward() || w.call.OnePhase || h.beganUnixMS == 0 || w.call.BeganUnixMS == 0 {
		return false
	}
	if w.call.BeganUnixMS != h.beganUnixMS {
		return w.call.BeganUnixMS < h.beganUnixMS
	}
	return w.call.GID < h.gid
}

// reply to an operation that has waited in vain.
func (w *watch) reply(err error) assent.Reply {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.holder == nil {
		return assent.RetryLater("a row is locked by another transaction: "+err.Error(), 0)
	}
	if w.holder.gid == w.call.GID && w.isForward() {
		return assent.Refused(fmt.Sprintf("a row is held by branch %s of this same transaction: let one branch write it", w.holder.branchID))
	}
	held := fmt.Sprintf("a row is held by branch %s of transaction %s, which is prepared", w.holder.branchID, w.holder.gid)
	younger := w.isYounger(w.holder)
	if younger && w.holder.coordinatorID != w.call.CoordinatorID {
		return assent.Refused(fmt.Sprintf("%s, younger, and of coordinator %d: an older transaction does not wait for it, or both might for ever",
			held, w.holder.coordinatorID))
	}
	if !w.isForward() || w.call.BeganUnixMS == 0 {
		return assent.RetryLater(held, 0)
	}
	if younger {
		held += ", and younger"
	}
	return assent.Reply{Kind: assent.KindRetryLater, Reason: held, RetryAfter: askAgain, BlockedBy: w.holder.gid}
}

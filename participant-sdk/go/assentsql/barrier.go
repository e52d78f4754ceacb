// Package assentsql keeps the contract of participants in your own database: the handler's rows and a row of the barrier
// are written in one local transaction. SQLite, PostgreSQL, and MariaDB or MySQL, through database/sql and whatever driver
// you use.
//
//	keeper, err := assentsql.Open(ctx, db, assentsql.PostgreSQL)
//	keeper.TCC(payment, "charge", assentsql.TCC{Try: reserve, Confirm: capture, Cancel: release})
//
// A handler gets the open transaction and neither commits nor rolls back, and returns its errors: one that goes on after an error
// that has rolled back (a deadlock) is asked again, with nothing written. (Over SQLite what it writes then stays: an INSERT OR
// ROLLBACK is not for handlers.) It is called at most once with effect, an undo
// comes only after its forward operation has taken effect, and what it wrote is undone with every answer but Done. An
// error says that nothing has happened (all of it is rolled back), and it is asked again. Only a commit whose fate is not
// known is answered with neither yes nor no: the next question finds the row, or does not. A handler that commits all the same
// runs once: what it wrote stays, and is a HAZARD, for a person.
//
// TCC and Saga; and two-phase commit, for which PostgreSQL and MariaDB or MySQL keep the prepared work (TwoPhase).
package assentsql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

// Dialect of SQL.
type Dialect int

// The dialects. MariaDB and MySQL need InnoDB.
const (
	SQLite Dialect = iota
	PostgreSQL
	MariaDB
)

// Handler runs one operation within tx.
type Handler func(ctx context.Context, tx *sql.Tx, call *assent.Call) (assent.Reply, error)

// TCC has the handlers of an action that is tried, then confirmed or cancelled. All three are needed.
type TCC struct{ Try, Confirm, Cancel Handler }

// Saga has the handlers of a step. Without Compensate there is nothing to undo.
type Saga struct{ Action, Compensate Handler }

// Keeper of a barrier. Its methods may be called from any goroutine.
type Keeper struct {
	local
	// Rows are kept so long after they were last touched, so that no old message can still be on its way: an hour.
	Retention time.Duration
	// How long a handler waits for a row that another transaction holds before it is asked again, where there are two-phase
	// actions: 2 s. To be set before anything is asked. (MariaDB: whole seconds, of PREPARE alone.)
	LockTimeout time.Duration
	now         func() time.Time

	prepares bool          // there are two-phase actions
	room     chan struct{} // of MariaDB: who is at a branch has put his mark in; nil: there is no bound
	sessions *xaSessions   // of MariaDB
}

// Open makes the table assent_barrier if it is not there.
func Open(ctx context.Context, db *sql.DB, dialect Dialect) (*Keeper, error) {
	k := &Keeper{local: local{db: db, dialect: dialect}, Retention: time.Hour, LockTimeout: 2 * time.Second, now: time.Now}
	if err := k.isDurable(ctx); err != nil {
		return nil, fmt.Errorf("assentsql: %w", err)
	}
	if err := k.create(ctx, schema[dialect]); err != nil {
		return nil, fmt.Errorf("assentsql: table assent_barrier: %w", err)
	}
	return k, nil
}

// Close ends what the Keeper has of db: over MariaDB each branch that is prepared has a connection until it is decided. It stays
// prepared. Before db is closed, and after the participant.
func (k *Keeper) Close() error {
	if k.sessions != nil {
		k.sessions.close()
	}
	return nil
}

// TCC registers an action with the participant.
func (k *Keeper) TCC(p *assent.Participant, action string, h TCC) {
	p.TCC(action, assent.TCC{Try: k.Handler(h.Try), Confirm: k.Handler(h.Confirm), Cancel: k.Handler(h.Cancel)})
}

// Saga registers a step.
func (k *Keeper) Saga(p *assent.Participant, action string, h Saga) {
	if h.Compensate == nil {
		h.Compensate = func(context.Context, *sql.Tx, *assent.Call) (assent.Reply, error) { return assent.Done(nil), nil }
	}
	p.Saga(action, assent.Saga{Action: k.Handler(h.Action), Compensate: k.Handler(h.Compensate)})
}

// Handler is what runs h behind the barrier; nil for nil.
func (k *Keeper) Handler(h Handler) assent.Handler {
	if h == nil {
		return nil
	}
	return func(ctx context.Context, call *assent.Call) (assent.Reply, error) { return k.execute(ctx, h, call) }
}

// Tries of a local transaction that a serialisation failure or a deadlock has ended.
const maxLocalTriesCount = 5

// So long a server is waited for until the connection is closed instead.
const giveBackTimeout = 5 * time.Second

func (k *Keeper) execute(ctx context.Context, h Handler, call *assent.Call) (assent.Reply, error) {
	if call.Protocol == assent.ProtocolTwoPhase {
		return assent.Refused("this participant does not prepare"), nil
	}
	return again(func() (assent.Reply, error) { return k.once(ctx, k.claim, h, call) })
}

// again runs a local transaction, more than once when the database has rolled it back for others.
func again(once func() (assent.Reply, error)) (assent.Reply, error) {
	for try := 1; ; try++ {
		reply, err := once()
		if try == maxLocalTriesCount || !isTransient(err) {
			return reply, err
		}
	}
}

// once returns an error only of a commit whose fate is not known; of all others nothing is left, and it is asked again.
func (k *Keeper) once(ctx context.Context, claim claim, h Handler, call *assent.Call) (assent.Reply, error) {
	tx, end, err := k.begin(ctx, nil)
	if err != nil {
		return assent.RetryLater("no transaction can be begun: "+err.Error(), 0), nil
	}
	committed := false
	defer func() { end(committed) }() // also when the handler panics
	reply, kept, err := k.within(ctx, tx, claim, h, call)
	if err != nil || !kept {
		if isTransient(err) {
			return assent.RetryLater(err.Error(), 0), err
		}
		if err != nil {
			return assent.RetryLater(err.Error(), 0), nil
		}
		return reply, nil
	}
	if err := tx.Commit(); err != nil {
		if isTransient(err) {
			return assent.RetryLater(err.Error(), 0), err
		}
		return assent.Reply{}, fmt.Errorf("it is not known whether the commit took effect: %w", err)
	}
	committed = true
	return reply, nil
}

// within runs a call in tx. kept: tx is to be committed.
func (k *Keeper) within(ctx context.Context, tx *sql.Tx, claim claim, h Handler, call *assent.Call) (assent.Reply, bool, error) {
	row, err := claim(ctx, tx, call)
	if err != nil {
		return assent.Reply{}, false, err
	}
	if row.isCommittedAlone {
		return committedAlone(call), false, nil
	}
	move, reply := barrier.Open(call, row.Row)
	switch move {
	case barrier.Bury:
		return reply, true, k.put(ctx, tx, call, barrier.Tombstone, reply)
	case barrier.Run:
	default:
		return reply, false, nil
	}
	isForward := barrier.RoleOf(call.Operation) == barrier.Forward
	if !isForward {
		// Who finds a row of state 0 finds one that a handler has committed, of either phase.
		if err := k.move(ctx, tx, call, row.State, "state = ?", int(barrier.None)); err != nil {
			return assent.Reply{}, false, err
		}
	}
	if reply, err = k.handle(ctx, tx, h, call); err != nil {
		return assent.Reply{}, false, err
	}
	state := barrier.After(call, reply, reply.Kind != assent.KindDoneReadOnly)
	if state == barrier.None {
		return reply, false, nil
	}
	after := "RELEASE SAVEPOINT "
	if state == barrier.Refused || state == barrier.ReadOnly {
		after = "ROLLBACK TO SAVEPOINT "
	}
	// Of a transaction that is gone there is no savepoint either.
	if _, err := tx.ExecContext(ctx, after+savepoint); err != nil {
		return assent.Reply{}, false, fmt.Errorf(
			"the handler has ended its transaction, or gone on after an error that did (a deadlock): %w", err)
	}
	if isForward {
		return reply, true, k.put(ctx, tx, call, state, reply)
	}
	return reply, true, k.move(ctx, tx, call, barrier.None, "state = ?, second_result = ?", int(state), bytesOf(reply.Result))
}

// savepoint before the handler. A handler has none of the same name.
var savepoint = "assent_handler_" + random()

func random() string {
	var bytes [8]byte
	_, _ = rand.Read(bytes[:]) // it does not fail
	return hex.EncodeToString(bytes[:])
}

// handle runs the handler behind the savepoint. What keeps it waiting for long is an answer, too.
func (k *Keeper) handle(ctx context.Context, tx *sql.Tx, h Handler, call *assent.Call) (assent.Reply, error) {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT "+savepoint); err != nil {
		return assent.Reply{}, err
	}
	if call.Operation == assent.OperationPrepare && !call.OnePhase {
		ctx = context.WithValue(ctx, preparing{}, true)
	}
	if k.dialect != PostgreSQL || !k.prepares {
		reply, err := h(ctx, tx, call)
		return normalized(reply, call), err
	}
	w, err := k.beginWatch(ctx, tx, call)
	if err != nil {
		return assent.Reply{}, err
	}
	defer w.end()
	reply, err := h(ctx, tx, call)
	w.end()
	if isLocked(err) {
		return normalized(w.reply(err), call), nil
	}
	return normalized(reply, call), err
}

// normalized is the form in which a reply is kept and given, so that the first and every later one are equal.
func normalized(reply assent.Reply, call *assent.Call) assent.Reply {
	switch reply.Kind {
	case assent.KindDone, assent.KindDoneReadOnly:
		if len(reply.Result) > assent.MaxResultBytes {
			if barrier.RoleOf(call.Operation) == barrier.Forward {
				return assent.Refused(fmt.Sprintf("the handler's result has %d bytes; the limit is %d", len(reply.Result), assent.MaxResultBytes))
			}
			reply.Result = nil
		}
		if call.Operation != assent.OperationPrepare {
			reply.Kind = assent.KindDone
		}
		return assent.Reply{Kind: reply.Kind, Result: reply.Result}
	case assent.KindRefused:
		return assent.Refused(cut(reply.Reason))
	case assent.KindRetryLater:
		return assent.Reply{Kind: assent.KindRetryLater, Reason: reply.Reason, RetryAfter: reply.RetryAfter, BlockedBy: reply.BlockedBy}
	}
	return assent.RetryLater("the handler gave no kind of reply", 0)
}

func cut(reason string) string {
	reason = strings.ReplaceAll(strings.ToValidUTF8(reason, "?"), "\x00", "?")
	if len(reason) > assent.MaxReasonBytes {
		reason = strings.ToValidUTF8(reason[:assent.MaxReasonBytes], "")
	}
	return reason
}

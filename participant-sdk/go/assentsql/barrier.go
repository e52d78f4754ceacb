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
// known is answered with neither yes nor no: the next question finds the row, or does not.
//
// TCC and Saga; and two-phase commit, for which PostgreSQL and MariaDB or MySQL keep the prepared work (TwoPhase).
package assentsql

import (
	"context"
	"database/sql"
	"errors"
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
	db      *sql.DB
	dialect Dialect
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

var schema = map[Dialect]string{
	SQLite: `CREATE TABLE IF NOT EXISTS assent_barrier(
  gid TEXT NOT NULL, branch_id TEXT NOT NULL, protocol INTEGER NOT NULL, action TEXT NOT NULL, state INTEGER NOT NULL,
  kind INTEGER NOT NULL, result BLOB NOT NULL, reason TEXT NOT NULL, second_result BLOB NOT NULL,
  coordinator_id INTEGER NOT NULL, began_epoch INTEGER NOT NULL, touched_ms INTEGER NOT NULL,
  PRIMARY KEY(gid, branch_id)) WITHOUT ROWID`,
	PostgreSQL: `CREATE TABLE IF NOT EXISTS assent_barrier(
  gid TEXT COLLATE "C" NOT NULL, branch_id TEXT COLLATE "C" NOT NULL, protocol SMALLINT NOT NULL, action TEXT NOT NULL,
  state SMALLINT NOT NULL, kind SMALLINT NOT NULL, result BYTEA NOT NULL, reason TEXT NOT NULL,
  second_result BYTEA NOT NULL, coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL, touched_ms BIGINT NOT NULL,
  PRIMARY KEY(gid, branch_id))`,
	MariaDB: `CREATE TABLE IF NOT EXISTS assent_barrier(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, protocol TINYINT NOT NULL,
  action VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, state TINYINT NOT NULL, kind TINYINT NOT NULL,
  result MEDIUMBLOB NOT NULL, reason TEXT CHARACTER SET utf8mb4 NOT NULL, second_result MEDIUMBLOB NOT NULL,
  coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL, touched_ms BIGINT NOT NULL,
  PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB`,
}

// Open makes the table assent_barrier if it is not there.
func Open(ctx context.Context, db *sql.DB, dialect Dialect) (*Keeper, error) {
	k := &Keeper{db: db, dialect: dialect, Retention: time.Hour, LockTimeout: 2 * time.Second, now: time.Now}
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

// create makes tables. Two that make the same ones at once get in each other's way in PostgreSQL.
func (k *Keeper) create(ctx context.Context, tables ...string) error {
	tx, err := k.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if k.dialect == PostgreSQL {
		tables = append([]string{"SELECT pg_advisory_xact_lock(7400)"}, tables...)
	}
	for _, text := range tables {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
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
	return again(func() (assent.Reply, error) { return k.once(ctx, h, call) })
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
func (k *Keeper) once(ctx context.Context, h Handler, call *assent.Call) (assent.Reply, error) {
	tx, end, err := k.begin(ctx)
	if err != nil {
		return assent.RetryLater("no transaction can be begun: "+err.Error(), 0), nil
	}
	committed := false
	defer func() { end(committed) }() // also when the handler panics
	reply, kept, err := k.within(ctx, tx, h, call)
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
	if _, err = conn.ExecContext(ctx, "SET autocommit = 0"); err == nil {
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
		_, err = conn.ExecContext(ctx, "SET autocommit = 1")
	}
	if err != nil {
		drop(conn)
	}
	_ = conn.Close()
}

// within runs a call in tx. kept: tx is to be committed.
func (k *Keeper) within(ctx context.Context, tx *sql.Tx, h Handler, call *assent.Call) (assent.Reply, bool, error) {
	row, err := k.claim(ctx, tx, call)
	if err != nil {
		return assent.Reply{}, false, err
	}
	move, reply := barrier.Open(call, row)
	switch move {
	case barrier.Bury:
		return reply, true, k.put(ctx, tx, call, barrier.Tombstone, reply)
	case barrier.Run:
	default:
		return reply, false, nil
	}
	if reply, err = k.handle(ctx, tx, h, call); err != nil {
		return assent.Reply{}, false, err
	}
	state := barrier.After(call, reply, reply.Kind != assent.KindDoneReadOnly)
	if state == barrier.None {
		return reply, false, nil
	}
	after := "RELEASE SAVEPOINT assent_handler"
	if state == barrier.Refused || state == barrier.ReadOnly {
		after = "ROLLBACK TO SAVEPOINT assent_handler"
	}
	// Of a transaction that is gone there is no savepoint either.
	if _, err := tx.ExecContext(ctx, after); err != nil {
		return assent.Reply{}, false, fmt.Errorf(
			"the handler has ended its transaction, or gone on after an error that did (a deadlock): %w", err)
	}
	if barrier.RoleOf(call.Operation) == barrier.Forward {
		return reply, true, k.put(ctx, tx, call, state, reply)
	}
	_, err = tx.ExecContext(ctx, k.sql(`UPDATE assent_barrier SET state = ?, second_result = ?, touched_ms = ?
WHERE gid = ? AND branch_id = ?`), state, bytesOf(reply.Result), k.now().UnixMilli(), call.GID, call.BranchID)
	return reply, true, err
}

// handle runs the handler behind the savepoint assent_handler. What keeps it waiting for long is an answer, too.
func (k *Keeper) handle(ctx context.Context, tx *sql.Tx, h Handler, call *assent.Call) (assent.Reply, error) {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT assent_handler"); err != nil {
		return assent.Reply{}, err
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

// ---- The row ------------------------------------------------------------------------------------

// claim makes the branch ours until tx ends, also of one that has no row yet: two that come at once, in whatever
// processes, come one after the other.
func (k *Keeper) claim(ctx context.Context, tx *sql.Tx, call *assent.Call) (barrier.Row, error) {
	insert := `INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, second_result,
coordinator_id, began_epoch, touched_ms) VALUES(?, ?, ?, ?, 0, 0, ?, '', ?, ?, ?, ?)`
	if k.dialect == MariaDB {
		insert += " ON DUPLICATE KEY UPDATE gid = gid"
	} else {
		insert += " ON CONFLICT(gid, branch_id) DO NOTHING"
	}
	if _, err := tx.ExecContext(ctx, k.sql(insert), call.GID, call.BranchID, int(call.Protocol), call.Action, []byte{}, []byte{},
		int64(call.CoordinatorID), int64(call.BeganEpoch), k.now().UnixMilli()); err != nil {
		return barrier.Row{}, err
	}
	lock := " FOR UPDATE"
	if k.dialect == SQLite {
		lock = ""
	}
	return k.find(ctx, tx, call.GID, call.BranchID, lock)
}

// querier is a transaction, or a connection outside of one.
type querier interface {
	ExecContext(ctx context.Context, query string, arguments ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, arguments ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}

// find reads a row; none has the state None.
func (k *Keeper) find(ctx context.Context, q querier, gid, branchID, lock string) (barrier.Row, error) {
	var row barrier.Row
	var protocol, kind int
	query := "SELECT state, protocol, action, kind, result, reason, second_result FROM assent_barrier WHERE gid = ? AND branch_id = ?"
	err := q.QueryRowContext(ctx, k.sql(query+lock), gid, branchID).Scan(
		&row.State, &protocol, &row.Action, &kind, &row.First.Result, &row.First.Reason, &row.SecondResult)
	if errors.Is(err, sql.ErrNoRows) {
		return barrier.Row{}, nil
	}
	if err != nil {
		return barrier.Row{}, err
	}
	if row.State < barrier.None || row.State > barrier.Tombstone {
		return barrier.Row{}, fmt.Errorf("the row (%s, %s) of assent_barrier is damaged: state %d", gid, branchID, row.State)
	}
	row.Protocol, row.First.Kind = assent.Protocol(protocol), assent.ReplyKind(kind)
	return row, nil
}

func (k *Keeper) put(ctx context.Context, tx *sql.Tx, call *assent.Call, state barrier.State, first assent.Reply) error {
	_, err := tx.ExecContext(ctx, k.sql(`UPDATE assent_barrier SET state = ?, kind = ?, result = ?, reason = ?, touched_ms = ?
WHERE gid = ? AND branch_id = ?`), state, int(first.Kind), bytesOf(first.Result), first.Reason, k.now().UnixMilli(), call.GID, call.BranchID)
	return err
}

func bytesOf(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// sql has the dialect's marks in place of "?".
func (k *Keeper) sql(text string) string {
	if k.dialect != PostgreSQL {
		return text
	}
	var out strings.Builder
	number := 0
	for _, r := range text {
		if r == '?' {
			number++
			fmt.Fprintf(&out, "$%d", number)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

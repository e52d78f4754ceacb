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

// A message without an outbox: the mark that its initiator has committed is a row of the barrier, which the initiator writes itself,
// as if its participant had been asked and had done the step. docs/messages.md is the guide.

const defaultPatience = 10 * time.Second

// CheckBack registers what is asked about a Transaction.CheckBack: whether the initiator's local transaction, in which Enlist was
// called, has committed. For as long as patience after Prepare (0: 10 s; by the coordinator's clock, and by this machine's) a message
// that has no row is answered with "later"; after that with no, which is kept, so that an Enlist that comes too late fails. At least
// the time that the slowest such local transaction may take. One that is enlisted and has not ended is "later" whatever time has passed.
func (k *Keeper) CheckBack(p *assent.Participant, action string, patience time.Duration) {
	if patience == 0 {
		patience = defaultPatience
	}
	answer := func(_ context.Context, _ *sql.Tx, call *assent.Call) (assent.Reply, error) {
		if k.now().Sub(time.UnixMilli(call.BeganUnixMS)) < patience {
			return assent.RetryLater("its initiator's local transaction may still be under way", 0), nil
		}
		return assent.Refused(fmt.Sprintf("its initiator's local transaction had not committed after %d ms, and never will",
			patience.Milliseconds())), nil
	}
	// Past the pivot there is only forward: no coordinator asks for it.
	neverUndone := func(context.Context, *sql.Tx, *assent.Call) (assent.Reply, error) {
		return assent.Refused("what its initiator has committed is not undone"), nil
	}
	p.Saga(action, assent.Saga{
		Action: func(ctx context.Context, call *assent.Call) (assent.Reply, error) {
			return again(func() (assent.Reply, error) { return k.once(ctx, k.claimAtOnce, answer, call) })
		},
		Compensate: k.Handler(neverUndone),
	})
}

var errEnlisting = errors.New("it is being enlisted: its initiator's local transaction is under way")

// claimAtOnce does not wait for an initiator that has enlisted and not committed yet: it may take its time, and a connection of the
// pool with it.
func (k *Keeper) claimAtOnce(ctx context.Context, tx *sql.Tx, call *assent.Call) (keptRow, error) {
	switch k.dialect {
	case PostgreSQL:
		var isOurs bool
		if err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", keyOf(call)).Scan(&isOurs); err != nil {
			return keptRow{}, err
		}
		if !isOurs {
			return keptRow{}, errEnlisting
		}
	case MariaDB:
		row, err := k.claimBy(ctx, tx, call, "SET STATEMENT innodb_lock_wait_timeout = 0 FOR ")
		switch numberOf(err) {
		case 1205:
			return keptRow{}, errEnlisting
		case 1064: // MySQL does not know it, and waits
		default:
			return row, err
		}
	}
	return k.claim(ctx, tx, call)
}

// Enlist writes, within the local transaction that is open on tx, the mark of a message without an outbox: it will begin if, and only
// if, tx commits. It comes after Client.Prepare, and talks to nobody. Every error is an *assent.Error, or the database's: ErrInvalid
// (it does not begin with CheckBack, or is wrong otherwise), ErrAlreadyExists (it is enlisted), ErrState (the coordinator has asked,
// and was told no; tx is no open transaction; or the table of a Keeper is not there). After any of them tx is to be rolled back.
func Enlist(ctx context.Context, tx Tx, dialect Dialect, message *assent.Transaction) error {
	call, err := message.CheckBackCall()
	if err != nil {
		return err
	}
	wrong := func(kind, cause error, words string) error {
		return &assent.Error{Kind: kind, GID: call.GID, Message: words, Cause: cause}
	}
	if _, isPool := tx.(*sql.DB); isPool {
		return wrong(assent.ErrState, nil, notWithin)
	}
	e := enlisting{local{dialect: dialect, names: strings.NewReplacer()}, tx, call}
	state, err := map[Dialect]func(context.Context) (barrier.State, error){
		SQLite: e.inSQLite, PostgreSQL: e.inPostgreSQL, MariaDB: e.inMariaDB,
	}[dialect](ctx)
	switch {
	case errors.Is(err, errAutocommit):
		return wrong(assent.ErrState, err, notWithin)
	case isNoTable(err):
		return wrong(assent.ErrState, err, "no table assent_barrier is there, which the Keeper of a participant makes in its database (assentsql.Open): "+err.Error())
	case err != nil:
		return err
	case state == barrier.None:
		return nil
	case state == barrier.Done:
		return wrong(assent.ErrAlreadyExists, nil, "message "+call.GID+" is enlisted: one is enlisted once")
	}
	return wrong(assent.ErrState, nil, "message "+call.GID+" will not begin: the coordinator has asked, and was told no. Roll back; "+
		"Prepare a new one, and be quicker, or raise patience")
}

const notWithin = "it is to be enlisted within a local transaction, and there is none that is open: the row would commit by itself"

// enlisting is one Enlist. Its methods write the row, or give the state of the one that is there.
type enlisting struct {
	local
	tx   Tx
	call *assent.Call
}

func (e enlisting) inSQLite(ctx context.Context) (barrier.State, error) {
	// There is no other way to ask it. Both or none.
	_, err := e.tx.ExecContext(ctx, "BEGIN; ROLLBACK")
	if err == nil {
		return barrier.None, errAutocommit
	}
	if !strings.Contains(err.Error(), "within a transaction") {
		return barrier.None, err
	}
	if state, err := e.state(ctx, ""); state != barrier.None || err != nil {
		return state, err
	}
	return barrier.None, e.insert(ctx, "VALUES("+marks+")")
}

// The branch's lock comes first: a Keeper, or a store of another language, that is being asked comes later, instead of meeting a row
// that has not committed.
func (e enlisting) inPostgreSQL(ctx context.Context) (barrier.State, error) {
	// The lock that an INSERT takes anyway; there is none for who is in no transaction.
	if _, err := e.tx.ExecContext(ctx, "LOCK TABLE assent_barrier IN ROW EXCLUSIVE MODE"); err != nil {
		if stateOf(err) == "25P01" {
			return barrier.None, errAutocommit
		}
		return barrier.None, err
	}
	if _, err := e.tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", keyOf(e.call)); err != nil {
		return barrier.None, err
	}
	if state, err := e.state(ctx, ""); state != barrier.None || err != nil {
		return state, err
	}
	err := e.insert(ctx, "VALUES("+marks+")")
	if isDuplicate(err) {
		return barrier.Refused, nil // a snapshot from before the answer does not show it
	}
	return barrier.None, err
}

func (e enlisting) inMariaDB(ctx context.Context) (barrier.State, error) {
	// A deadlock, say, has ended the transaction, and whoever goes on after it commits each of his statements.
	err := e.insert(ctx, "SELECT "+marks+" FROM DUAL WHERE @@in_transaction OR NOT @@autocommit")
	if numberOf(err) == 1193 { // MySQL does not say
		err = e.insert(ctx, "SELECT "+marks+" FROM DUAL")
	}
	if !isDuplicate(err) {
		return barrier.None, err
	}
	// What is committed now, whatever this transaction's snapshot shows.
	state, failed := e.state(ctx, " LOCK IN SHARE MODE")
	if failed == nil && state == barrier.None {
		failed = err
	}
	return state, failed
}

func (e enlisting) state(ctx context.Context, lock string) (state barrier.State, err error) {
	found := e.tx.QueryRowContext(ctx, e.sql("SELECT state FROM assent_barrier WHERE gid = ? AND branch_id = ?"+lock), e.call.GID, e.call.BranchID)
	if err = found.Scan(&state); errors.Is(err, sql.ErrNoRows) {
		return barrier.None, nil
	}
	return state, err
}

const marks = "?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?"

// insert is durable when tx is committed: the steps that follow are not taken back with a row that a crash of the server takes back.
func (e enlisting) insert(ctx context.Context, values string) error {
	result, err := e.tx.ExecContext(ctx, e.durably(intoBarrier+values), e.call.GID, e.call.BranchID, int(e.call.Protocol), e.call.Action,
		int(barrier.Done), int(assent.KindDone), []byte{}, "", []byte{}, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	if inserted, err := result.RowsAffected(); err != nil || inserted == 0 {
		return errors.Join(errAutocommit, err)
	}
	return nil
}

func isNoTable(err error) bool {
	return err != nil && (stateOf(err) == "42P01" || numberOf(err) == 1146 || strings.Contains(err.Error(), "no such table"))
}

package assentsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

// postgresql keeps prepared work by PREPARE TRANSACTION 'assent/GID/BRANCH'.
type postgresql struct{ k *Keeper }

func (p postgresql) ready(ctx context.Context) error {
	var room int
	if err := p.k.db.QueryRowContext(ctx, "SELECT current_setting('max_prepared_transactions')::int").Scan(&room); err != nil {
		return err
	}
	if room == 0 {
		return errors.New("PostgreSQL keeps no prepared work, which two-phase actions need: set max_prepared_transactions in postgresql.conf " +
			"(as many as there may be undecided branches; at least max_connections) and restart the server")
	}
	return p.k.create(ctx,
		`CREATE TABLE IF NOT EXISTS assent_marker(gid TEXT COLLATE "C" NOT NULL, branch_id TEXT COLLATE "C" NOT NULL, PRIMARY KEY(gid, branch_id))`,
		`CREATE TABLE IF NOT EXISTS assent_age(gid TEXT COLLATE "C" PRIMARY KEY, began_unix_ms BIGINT NOT NULL, coordinator_id BIGINT NOT NULL)`)
}

// A lock of the session: one of the transaction would stay with what is prepared.
func (p postgresql) lock(ctx context.Context, conn *sql.Conn, call *assent.Call) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", keyOf(call))
	return err
}

func (p postgresql) unlock(ctx context.Context, conn *sql.Conn, call *assent.Call) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", keyOf(call))
	return err
}

func (p postgresql) work(ctx context.Context, conn *sql.Conn, h Handler, call *assent.Call) (assent.Reply, barrier.State, error) {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return assent.Reply{}, barrier.None, err
	}
	// What is prepared is no part of this transaction any more.
	defer func() { _ = tx.Rollback() }()
	token := random()
	if _, err := tx.ExecContext(ctx, "SELECT set_config('assent.handler', $1, false)", token); err != nil {
		return assent.Reply{}, barrier.None, err
	}
	reply, err := p.k.handle(ctx, tx, h, call)
	leave := "RELEASE SAVEPOINT "
	if err != nil || reply.Kind != assent.KindDone {
		leave = "ROLLBACK TO SAVEPOINT "
	}
	// PREPARE TRANSACTION of a transaction that has failed, or is over, is answered like a success.
	if _, gone := tx.ExecContext(ctx, leave+savepoint); gone != nil {
		_ = tx.Rollback()
		return assent.Reply{}, barrier.None, errors.Join(p.noteCommitted(ctx, conn, call, token), err,
			fmt.Errorf("the handler has ended its transaction, or gone on after an error in it: %w", gone))
	}
	if err != nil {
		return assent.Reply{}, barrier.None, err
	}
	if reply.Kind != assent.KindDone {
		return reply, barrier.After(call, reply, false), tx.Rollback()
	}
	var wrote bool
	if err := tx.QueryRowContext(ctx, "SELECT txid_current_if_assigned() IS NOT NULL").Scan(&wrote); err != nil {
		return assent.Reply{}, barrier.None, err
	}
	if !wrote {
		reply.Kind = assent.KindDoneReadOnly
		return reply, barrier.ReadOnly, tx.Rollback()
	}
	if _, err := tx.ExecContext(ctx, p.k.durably("INSERT INTO assent_marker VALUES (?, ?)"), call.GID, call.BranchID); err != nil {
		return assent.Reply{}, barrier.None, err
	}
	if _, err := tx.ExecContext(ctx, "PREPARE TRANSACTION "+preparedName(call)); err != nil {
		if isNotDone(err) {
			return assent.Reply{}, barrier.None, err
		}
		return assent.Reply{}, barrier.None, lostWith("PREPARE TRANSACTION had no answer", err)
	}
	return reply, barrier.Prepared, nil
}

// noteCommitted: what a handler has committed by itself would be done once more, which a row of state 0 prevents. The token is the
// session's if its transaction was committed, and gone if it was rolled back.
func (p postgresql) noteCommitted(ctx context.Context, conn *sql.Conn, call *assent.Call, token string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	var found sql.NullString
	err := conn.QueryRowContext(ctx, "SELECT current_setting('assent.handler', true)").Scan(&found)
	if err != nil || found.String != token {
		return err
	}
	return p.k.keep(ctx, conn, call, barrier.None, assent.Reply{})
}

func (p postgresql) look(ctx context.Context, conn *sql.Conn, call *assent.Call) (mark, error) {
	var prepared, marked int
	err := conn.QueryRowContext(ctx, "SELECT count(*) FROM pg_prepared_xacts WHERE gid = $1 AND database = current_database()",
		"assent/"+call.GID+"/"+call.BranchID).Scan(&prepared)
	if err != nil || prepared != 0 {
		return held, err
	}
	// Afterwards, so that it is seen how somebody else has settled it.
	err = conn.QueryRowContext(ctx, p.k.sql("SELECT count(*) FROM assent_marker WHERE gid = ? AND branch_id = ?"), call.GID, call.BranchID).Scan(&marked)
	if err == nil && marked != 0 {
		return committed, nil
	}
	return absent, err
}

const noSuchPrepared = "42704"

func (p postgresql) end(ctx context.Context, conn *sql.Conn, call *assent.Call, commits bool) (mark, error) {
	verb := "ROLLBACK"
	if commits {
		verb = "COMMIT"
	}
	_, err := conn.ExecContext(ctx, verb+" PREPARED "+preparedName(call))
	if stateOf(err) == noSuchPrepared {
		return held, errors.New("its prepared work was settled by somebody else at this moment")
	}
	if err != nil {
		return held, lostWith(verb+" PREPARED had no answer", err)
	}
	found, err := p.look(ctx, conn, call)
	if err != nil {
		return held, lostWith("its marker cannot be read", err)
	}
	return found, nil
}

// preparedName is a literal. Neither part can have a slash, or a quote: Participant.Execute sees to it.
func preparedName(call *assent.Call) string { return "'assent/" + call.GID + "/" + call.BranchID + "'" }

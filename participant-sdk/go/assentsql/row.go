package assentsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

type keptRow struct {
	barrier.Row
	// A claim that others can see: a handler has committed its transaction by itself.
	isCommittedAlone bool
}

// committedAlone is asked of a person. The words are those of all languages.
func committedAlone(call *assent.Call) assent.Reply {
	const words = "HAZARD: a handler of this branch has committed its transaction by itself, and what it wrote stays: " +
		"look at it, then set the state of its row in assent_barrier (2 done, 5 confirmed, 6 undone), or delete the row, if nothing was done"
	if barrier.RoleOf(call.Operation) == barrier.Forward {
		return assent.RetryLater(words, 0)
	}
	return assent.Refused(words)
}

const intoBarrier = `INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, second_result,
coordinator_id, began_epoch, touched_ms) `

// claim of a branch: what it does to tx, and the row that it finds.
type claim func(ctx context.Context, tx *sql.Tx, call *assent.Call) (keptRow, error)

// claim makes the branch ours until tx ends, also of one that has no row yet: two that come at once, in whatever
// processes, come one after the other.
func (k *Keeper) claim(ctx context.Context, tx *sql.Tx, call *assent.Call) (keptRow, error) {
	return k.claimBy(ctx, tx, call, "")
}

// claimBy has words before the INSERT.
func (k *Keeper) claimBy(ctx context.Context, tx *sql.Tx, call *assent.Call, words string) (keptRow, error) {
	ours := "claim " + random() // what counts as inserted depends on the driver's settings
	insert := words + intoBarrier + "VALUES(?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?)"
	if k.dialect == MariaDB {
		insert += " ON DUPLICATE KEY UPDATE gid = gid"
	} else {
		insert += " ON CONFLICT(gid, branch_id) DO NOTHING"
	}
	if _, err := tx.ExecContext(ctx, k.sql(insert), call.GID, call.BranchID, int(call.Protocol), call.Action, []byte{}, ours, []byte{},
		int64(call.CoordinatorID), int64(call.BeganEpoch), k.now().UnixMilli()); err != nil {
		return keptRow{}, err
	}
	lock := " FOR UPDATE"
	if k.dialect == SQLite {
		lock = ""
	}
	row, err := k.find(ctx, tx, call.GID, call.BranchID, lock)
	row.isCommittedAlone = row.isCommittedAlone && row.First.Reason != ours
	return row, err
}

// querier is a transaction, or a connection outside of one.
type querier interface {
	ExecContext(ctx context.Context, query string, arguments ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, arguments ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}

// find reads a row; none has the state None.
func (k *Keeper) find(ctx context.Context, q querier, gid, branchID, lock string) (keptRow, error) {
	var row keptRow
	var protocol, kind int
	query := "SELECT state, protocol, action, kind, result, reason, second_result FROM assent_barrier WHERE gid = ? AND branch_id = ?"
	err := q.QueryRowContext(ctx, k.sql(query+lock), gid, branchID).Scan(
		&row.State, &protocol, &row.Action, &kind, &row.First.Result, &row.First.Reason, &row.SecondResult)
	if errors.Is(err, sql.ErrNoRows) {
		return keptRow{}, nil
	}
	if err != nil {
		return keptRow{}, err
	}
	if row.State < barrier.None || row.State > barrier.Tombstone {
		return keptRow{}, fmt.Errorf("the row (%s, %s) of assent_barrier is damaged: state %d", gid, branchID, row.State)
	}
	row.isCommittedAlone = row.State == barrier.None
	row.Protocol, row.First.Kind = assent.Protocol(protocol), assent.ReplyKind(kind)
	if kind == 0 && row.State != barrier.None {
		row.First = assent.Reply{Kind: kindOf(row.State)} // its state was set by a person
	}
	return row, nil
}

func kindOf(state barrier.State) assent.ReplyKind {
	switch state {
	case barrier.Refused:
		return assent.KindRefused
	case barrier.ReadOnly:
		return assent.KindDoneReadOnly
	}
	return assent.KindDone
}

// put writes the row of a branch that was claimed, and has had none.
func (k *Keeper) put(ctx context.Context, tx *sql.Tx, call *assent.Call, state barrier.State, first assent.Reply) error {
	return k.move(ctx, tx, call, barrier.None, "state = ?, kind = ?, result = ?, reason = ?",
		int(state), int(first.Kind), bytesOf(first.Result), first.Reason)
}

// errElsewhere: whoever it was, in whatever language, did not wait for us.
var errElsewhere = errors.New("somebody else was at this branch")

// move sets columns of the row whose state was read as from.
func (k *Keeper) move(ctx context.Context, tx *sql.Tx, call *assent.Call, from barrier.State, columns string, values ...any) error {
	values = append(values, k.now().UnixMilli(), call.GID, call.BranchID, int(from))
	result, err := tx.ExecContext(ctx, k.durably("UPDATE assent_barrier SET "+columns+", touched_ms = ? WHERE gid = ? AND branch_id = ? AND state = ?"), values...)
	if err != nil {
		return err
	}
	if moved, err := result.RowsAffected(); err != nil || moved != 1 {
		return errors.Join(errElsewhere, err)
	}
	return nil
}

func bytesOf(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

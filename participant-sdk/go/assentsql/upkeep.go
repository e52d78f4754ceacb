package assentsql

import (
	"context"
	"fmt"

	assent "assent.example/sdk"
	"assent.example/sdk/barrier"
)

// Held has what is prepared, then the rows that are old enough to go. A Keeper is an assent.Asker: participant.Ask(keeper)
// has prepared work ended as it was decided, also when its COMMIT or ROLLBACK never comes here, and rows removed when
// their transactions are over.
func (k *Keeper) Held(ctx context.Context, max int) (held []assent.HeldBranch, err error) {
	err = k.alone(ctx, func(q querier) error {
		held, err = k.held(ctx, q, max)
		return err
	})
	return held, err
}

// held leaves alone what a handler has committed by itself: it is for a person.
func (k *Keeper) held(ctx context.Context, q querier, max int) ([]assent.HeldBranch, error) {
	rows, err := q.QueryContext(ctx, k.sql(`SELECT gid, branch_id, coordinator_id, began_epoch FROM assent_barrier
WHERE state = ? OR (state <> ? AND touched_ms < ?) ORDER BY CASE WHEN state = ? THEN 0 ELSE 1 END, touched_ms LIMIT ?`),
		int(barrier.Prepared), int(barrier.None), k.now().Add(-k.Retention).UnixMilli(), int(barrier.Prepared), max)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var held []assent.HeldBranch
	for rows.Next() {
		var one assent.HeldBranch
		var coordinator, epoch int64
		if err := rows.Scan(&one.GID, &one.BranchID, &coordinator, &epoch); err != nil {
			return nil, err
		}
		one.CoordinatorID, one.BeganEpoch = uint32(coordinator), uint64(epoch)
		held = append(held, one)
	}
	return held, rows.Err()
}

// Outcome ends prepared work as it was decided, and removes a row whose transaction is over. A try that nobody will ever
// confirm or cancel stays, for a person: SELECT * FROM assent_barrier WHERE state = 2 AND protocol = 2.
func (k *Keeper) Outcome(ctx context.Context, branch assent.HeldBranch, verdict assent.Verdict, finished bool) error {
	var row keptRow
	if err := k.alone(ctx, func(q querier) (err error) {
		row, err = k.find(ctx, q, branch.GID, branch.BranchID, "")
		return err
	}); err != nil {
		return err
	}
	operation := assent.OperationRollback
	switch barrier.UpkeepFor(row.Row, verdict, finished) {
	case barrier.CommitIt:
		operation = assent.OperationCommit
		fallthrough
	case barrier.RollbackIt:
		return k.endPrepared(ctx, &assent.Call{GID: branch.GID, BranchID: branch.BranchID, Operation: operation,
			Protocol: assent.ProtocolTwoPhase, Action: row.Action})
	case barrier.Forget:
		return k.tend(ctx, "DELETE FROM assent_barrier WHERE gid = ? AND branch_id = ? AND state = ? AND touched_ms < ?",
			branch.GID, branch.BranchID, int(row.State), k.now().Add(-k.Retention).UnixMilli())
	}
	// Asked about again when others have had their turn.
	return k.tend(ctx, "UPDATE assent_barrier SET touched_ms = ? WHERE gid = ? AND branch_id = ? AND state <> ? AND (state = ? OR touched_ms < ?)",
		k.now().UnixMilli(), branch.GID, branch.BranchID, int(barrier.None), int(barrier.Prepared), k.now().Add(-k.Retention).UnixMilli())
}

func (k *Keeper) tend(ctx context.Context, text string, values ...any) error {
	return k.alone(ctx, func(q querier) error {
		_, err := q.ExecContext(ctx, k.sql(text), values...)
		return err
	})
}

func (k *Keeper) endPrepared(ctx context.Context, call *assent.Call) error {
	reply, err := k.settle(ctx, call)
	if err == nil && reply.Kind != assent.KindDone {
		err = fmt.Errorf("%v of prepared work: %v: %s", call.Operation, reply.Kind, reply.Reason)
	}
	return err
}

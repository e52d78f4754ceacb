package assentsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	assent "assent.example/sdk"
)

// OutboxStats are what waits in the table, counted up to 100,000.
type OutboxStats struct {
	Waiting int           // to be handed over
	Oldest  time.Duration // how long the oldest of them has waited
	Parked  int           // for a person
}

// RelayStats are an Outbox's, and what this Relay has done.
type RelayStats struct {
	OutboxStats
	HandedOver, Failed int64 // rows, and attempts
}

// Stats of the table.
func (o *Outbox) Stats(ctx context.Context) (stats OutboxStats, err error) {
	err = o.alone(ctx, func(q querier) error {
		all, err := o.count(ctx, q, "", defaultMaxWaiting)
		if err != nil {
			return err
		}
		if stats.Parked, err = o.count(ctx, q, "WHERE parked_reason IS NOT NULL", defaultMaxWaiting); err != nil {
			return err
		}
		stats.Waiting = all - stats.Parked
		var ms int64
		err = q.QueryRowContext(ctx, o.outboxSQL("SELECT {now} - created_unix_ms FROM assent_outbox WHERE parked_reason IS NULL ORDER BY id LIMIT 1")).Scan(&ms)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		stats.Oldest = max(time.Duration(ms)*time.Millisecond, 0)
		return err
	})
	return stats, err
}

// Stats of the table, and of this Relay.
func (r *Relay) Stats(ctx context.Context) (RelayStats, error) {
	stats, err := r.outbox.Stats(ctx)
	return RelayStats{OutboxStats: stats, HandedOver: r.handedOver.Load(), Failed: r.failed.Load()}, err
}

// ParkedRow waits for a person.
type ParkedRow struct {
	GID, Key  string
	Reason    string // why
	LastError string
	Attempts  int
	Created   time.Time
}

// Parked rows, the oldest first; and those of a kind that is not known here.
func (o *Outbox) Parked(ctx context.Context, max int) (parked []ParkedRow, err error) {
	err = o.alone(ctx, func(q querier) error {
		rows, err := q.QueryContext(ctx, o.sql(`SELECT gid, coalesce(ordering_key, ''), kind, coalesce(parked_reason, ''), coalesce(last_error, ''), attempts, created_unix_ms
FROM assent_outbox WHERE parked_reason IS NOT NULL OR kind <> 1 ORDER BY id LIMIT ?`), max)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var row ParkedRow
			var kind int
			var created int64
			if err := rows.Scan(&row.GID, &row.Key, &kind, &row.Reason, &row.LastError, &row.Attempts, &created); err != nil {
				return err
			}
			if kind != 1 {
				row.Reason = fmt.Sprintf("it is of kind %d, which is not known here. %s", kind, row.Reason)
			}
			row.Created = time.UnixMilli(created)
			parked = append(parked, row)
		}
		return rows.Err()
	})
	return parked, err
}

// Retry has a parked row handed over again, as if it never was: who says so knows that it has not run, or may run again.
func (o *Outbox) Retry(ctx context.Context, gid string) error {
	return o.change(ctx, gid, `UPDATE assent_outbox SET parked_reason = NULL, due_unix_ms = 0, attempts = 0, first_attempt_unix_ms = NULL
WHERE gid = ? AND parked_reason IS NOT NULL`)
}

// Drop removes a parked row: it will not run.
func (o *Outbox) Drop(ctx context.Context, gid string) error {
	return o.change(ctx, gid, "DELETE FROM assent_outbox WHERE gid = ? AND (parked_reason IS NOT NULL OR kind <> 1)")
}

func (o *Outbox) change(ctx context.Context, gid, text string) error {
	var changed int64
	err := o.turn(ctx, func(q querier) error {
		result, err := q.ExecContext(ctx, o.sql(text), gid)
		if err == nil {
			changed, err = result.RowsAffected()
		}
		return err
	})
	if err == nil && changed == 0 {
		return &assent.Error{Kind: assent.ErrNotFound, GID: gid, Message: "no parked row of assent_outbox has this gid"}
	}
	return err
}

package assentsql

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
)

// A turn of a relay at the table: look for what is due, take it, and settle what was answered. None of the three talks to a
// coordinator.

// taken is a row with a lease on it.
type taken struct {
	id       int64
	gid      string
	key      sql.NullString
	request  []byte
	attempts int  // this one among them
	isFirst  bool // before this one it was certainly never handed over
	isOld    bool // handed over before, so long ago that the coordinator may have forgotten it
}

const (
	maxKeysCount    = 1024 // that are looked at in a turn
	leaseTime       = 60 * time.Second
	maxTurnBytes    = 16 << 20      // of requests that are under way
	attemptsCounted = 1_000_000_000 // of a row; more are not
)

// turn is a local transaction of a relay. What it commits is durable, and with it what was committed before: nothing is handed over
// that a power cut would take back.
func (o *Outbox) turn(ctx context.Context, do func(querier) error) error {
	if o.dialect == SQLite {
		return o.turnOfSQLite(ctx, do)
	}
	return o.inTransaction(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, do)
}

// turnOfSQLite begins with the lock that it will need, whatever the driver's settings.
func (o *Outbox) turnOfSQLite(ctx context.Context, do func(querier) error) error {
	conn, err := o.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	const full = 2
	var synchronous int
	if err := conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	always, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	run := func(ctx context.Context, text string) error {
		_, err := conn.ExecContext(ctx, text)
		return err
	}
	if synchronous < full {
		if err := run(ctx, "PRAGMA synchronous = FULL"); err != nil {
			return err
		}
		defer func() {
			if run(always, fmt.Sprint("PRAGMA synchronous = ", synchronous)) != nil {
				drop(conn)
			}
		}()
	}
	if err := run(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err = do(conn); err == nil {
		err = run(ctx, "COMMIT")
	}
	if err != nil {
		if undone := run(always, "ROLLBACK"); undone != nil && !strings.Contains(undone.Error(), "no transaction is active") {
			drop(conn)
		}
	}
	return err
}

// found is what a look sees.
type found struct {
	nowMS  int64
	ids    []int64
	cursor string // the key after which the next look goes on
	isMore bool   // there may be more that is due
}

// look for rows that are due, without a lock: at most room, of which keyed have a key, and are the oldest of theirs.
func (o *Outbox) look(ctx context.Context, room, keyed int, cursor string) (f found, err error) {
	err = o.alone(ctx, func(q querier) error {
		f = found{cursor: cursor}
		if err := q.QueryRowContext(ctx, o.outboxSQL("SELECT {now}")).Scan(&f.nowMS); err != nil {
			return err
		}
		if keyed > 0 {
			if err := o.lookAtKeys(ctx, q, keyed, &f); err != nil {
				return err
			}
		}
		return o.lookAtOthers(ctx, q, room, &f)
	})
	return f, err
}

func (o *Outbox) lookAtOthers(ctx context.Context, q querier, room int, f *found) error {
	left := room - len(f.ids)
	rows, err := q.QueryContext(ctx, o.sql(`SELECT id FROM assent_outbox
WHERE kind = 1 AND ordering_key IS NULL AND parked_reason IS NULL AND due_unix_ms <= ? ORDER BY due_unix_ms, id LIMIT ?`), f.nowMS, left)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		f.ids = append(f.ids, id)
		left--
	}
	f.isMore = f.isMore || left == 0
	return rows.Err()
}

// The oldest row of each key, whatever its state; by the index, from one key to the next.
var headsOfKeys = map[Dialect]string{
	SQLite:     headsByRecursion,
	PostgreSQL: headsByRecursion,
	// An index that is read loosely.
	MariaDB: `SELECT h.ordering_key, h.id, CASE WHEN h.kind = 1 AND h.parked_reason IS NULL AND h.due_unix_ms <= ? THEN 1 ELSE 0 END
FROM (SELECT ordering_key, MIN(id) id FROM assent_outbox FORCE INDEX ({keys}) WHERE ordering_key > ?
  GROUP BY ordering_key ORDER BY ordering_key LIMIT ?) firsts JOIN assent_outbox h ON h.id = firsts.id ORDER BY h.ordering_key`,
}

const headsByRecursion = `WITH RECURSIVE due(at) AS (SELECT CAST(? AS bigint)), heads(ordering_key, number) AS (
  SELECT * FROM (SELECT ordering_key, 1 FROM assent_outbox WHERE ordering_key > ? ORDER BY ordering_key LIMIT 1) head
  UNION ALL
  SELECT (SELECT o.ordering_key FROM assent_outbox o WHERE o.ordering_key > heads.ordering_key ORDER BY o.ordering_key LIMIT 1), number + 1
  FROM heads WHERE heads.ordering_key IS NOT NULL AND number < ?)
SELECT h.ordering_key, h.id, CASE WHEN h.kind = 1 AND h.parked_reason IS NULL AND h.due_unix_ms <= due.at THEN 1 ELSE 0 END
FROM due, heads JOIN assent_outbox h ON h.id = (SELECT min(o.id) FROM assent_outbox o WHERE o.ordering_key = heads.ordering_key)
ORDER BY heads.number`

func (o *Outbox) lookAtKeys(ctx context.Context, q querier, keyed int, f *found) error {
	cursor := f.cursor
	rows, err := q.QueryContext(ctx, o.outboxSQL(headsOfKeys[o.dialect]), f.nowMS, cursor, maxKeysCount)
	if err != nil {
		return err
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var key string
		var id int64
		var isDue int
		if err := rows.Scan(&key, &id, &isDue); err != nil {
			return err
		}
		f.cursor = key
		seen++
		if isDue == 0 {
			continue
		}
		if f.ids = append(f.ids, id); len(f.ids) == keyed {
			f.isMore = true
			return nil
		}
	}
	if seen < maxKeysCount {
		f.cursor = "" // that was the last one
	} else {
		f.isMore = true
	}
	f.isMore = f.isMore || cursor != ""
	return rows.Err()
}

// take leases those of them that are still due, and that nobody else is at. Not all of them, if they are large.
func (o *Outbox) take(ctx context.Context, f found, bytes int, guard time.Duration) (rows []taken, err error) {
	err = o.turn(ctx, func(q querier) error {
		rows, err = o.lock(ctx, q, f, bytes, guard)
		if err != nil || len(rows) == 0 {
			return err
		}
		ids := make([]int64, len(rows))
		at := map[int64]*taken{}
		for i := range rows {
			ids[i], at[rows[i].id] = rows[i].id, &rows[i]
		}
		which, arguments := o.in(ids)
		if _, err := q.ExecContext(ctx, o.durably(`UPDATE assent_outbox SET due_unix_ms = ?,
attempts = CASE WHEN attempts < 1000000000 THEN attempts + 1 ELSE attempts END,
first_attempt_unix_ms = coalesce(first_attempt_unix_ms, ?) WHERE `+which),
			append([]any{f.nowMS + leaseTime.Milliseconds(), f.nowMS}, arguments...)...); err != nil {
			return err
		}
		requests, err := q.QueryContext(ctx, o.sql("SELECT id, request FROM assent_outbox WHERE "+which), arguments...)
		if err != nil {
			return err
		}
		defer requests.Close()
		for requests.Next() {
			var id int64
			var request []byte
			if err := requests.Scan(&id, &request); err != nil {
				return err
			}
			at[id].request = request
		}
		return requests.Err()
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (o *Outbox) lock(ctx context.Context, q querier, f found, bytes int, guard time.Duration) ([]taken, error) {
	which, arguments := o.in(f.ids)
	length := "octet_length(request)"
	if o.dialect == SQLite {
		length = "length(CAST(request AS BLOB))"
	}
	found, err := q.QueryContext(ctx, o.outboxSQL(`SELECT id, gid, ordering_key, `+length+`, attempts,
CASE WHEN first_attempt_unix_ms IS NULL THEN 1 ELSE 0 END, CASE WHEN first_attempt_unix_ms < ? THEN 1 ELSE 0 END FROM assent_outbox
WHERE due_unix_ms <= ? AND kind = 1 AND parked_reason IS NULL AND `+which+` ORDER BY due_unix_ms, id{lock}`),
		append([]any{f.nowMS - guard.Milliseconds(), f.nowMS}, arguments...)...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []taken
	for found.Next() {
		var row taken
		var length, isFirst, isOld int
		if err := found.Scan(&row.id, &row.gid, &row.key, &length, &row.attempts, &isFirst, &isOld); err != nil {
			return nil, err
		}
		row.isFirst, row.isOld = isFirst == 1, isOld == 1
		if row.attempts < attemptsCounted {
			row.attempts++
		}
		if bytes -= length; bytes < 0 && len(rows) > 0 {
			continue
		}
		rows = append(rows, row)
	}
	return rows, found.Err()
}

// settle writes down what has become of rows, in one transaction. Whoever has another lease on one by now is not disturbed.
func (o *Outbox) settle(ctx context.Context, settled []settled) error {
	return o.turn(ctx, func(q querier) error {
		if err := o.remove(ctx, q, settled); err != nil {
			return err
		}
		for _, one := range settled {
			if err := o.settleOne(ctx, q, one); err != nil {
				return err
			}
		}
		return nil
	})
}

// remove what was answered. A gid that a coordinator has taken needs no quoting.
func (o *Outbox) remove(ctx context.Context, q querier, settled []settled) error {
	var ids []int64
	var gids []string
	for _, one := range settled {
		if one.fate == goes {
			ids, gids = append(ids, one.row.id), append(gids, one.row.gid)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	which, arguments := o.in(ids)
	if o.dialect == PostgreSQL {
		which += " AND gid = ANY(?::text[])"
		arguments = append(arguments, `{"`+strings.Join(gids, `","`)+`"}`)
	} else {
		which += " AND gid IN ('" + strings.Join(gids, "','") + "')"
	}
	_, err := q.ExecContext(ctx, o.sql("DELETE FROM assent_outbox WHERE "+which), arguments...)
	return err
}

func (o *Outbox) settleOne(ctx context.Context, q querier, one settled) (err error) {
	const ours = " WHERE id = ? AND attempts = ? AND parked_reason IS NULL"
	switch one.fate {
	case goes:
	case parks:
		_, err = q.ExecContext(ctx, o.sql("UPDATE assent_outbox SET parked_reason = ?, last_error = ?, due_unix_ms = ?"+ours),
			cut(one.why), cut(one.why), int64(math.MaxInt64), one.row.id, one.row.attempts)
	case waits:
		first := ""
		if one.isUntouched {
			first = ", first_attempt_unix_ms = NULL"
		}
		_, err = q.ExecContext(ctx, o.outboxSQL("UPDATE assent_outbox SET last_error = ?, due_unix_ms = {now} + ?"+first+ours),
			cut(one.why), one.after.Milliseconds(), one.row.id, one.row.attempts)
	}
	return err
}

package assentsql

import (
	"context"
	"fmt"
	"strings"
)

var schema = map[Dialect]string{
	SQLite: `CREATE TABLE IF NOT EXISTS assent_barrier(
  gid TEXT NOT NULL, branch_id TEXT NOT NULL, protocol INTEGER NOT NULL, action TEXT NOT NULL, state INTEGER NOT NULL,
  kind INTEGER NOT NULL, result BLOB NOT NULL, reason TEXT NOT NULL, second_result BLOB NOT NULL,
  coordinator_id INTEGER NOT NULL, began_epoch INTEGER NOT NULL, touched_ms INTEGER NOT NULL, orphan INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id)) WITHOUT ROWID`,
	PostgreSQL: `CREATE TABLE IF NOT EXISTS assent_barrier(
  gid TEXT COLLATE "C" NOT NULL, branch_id TEXT COLLATE "C" NOT NULL, protocol SMALLINT NOT NULL, action TEXT NOT NULL,
  state SMALLINT NOT NULL, kind SMALLINT NOT NULL, result BYTEA NOT NULL, reason TEXT NOT NULL,
  second_result BYTEA NOT NULL, coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL, touched_ms BIGINT NOT NULL, orphan INT NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id))`,
	MariaDB: `CREATE TABLE IF NOT EXISTS assent_barrier(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, protocol TINYINT NOT NULL,
  action VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, state TINYINT NOT NULL, kind TINYINT NOT NULL,
  result MEDIUMBLOB NOT NULL, reason TEXT CHARACTER SET utf8mb4 NOT NULL, second_result MEDIUMBLOB NOT NULL,
  coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL, touched_ms BIGINT NOT NULL, orphan INT NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB`,
}

// create makes tables. Two that make the same ones at once get in each other's way in PostgreSQL.
func (k *Keeper) create(ctx context.Context, tables ...string) error {
	if k.dialect == PostgreSQL {
		tables = append([]string{"SELECT pg_advisory_xact_lock(7400)"}, tables...)
	}
	return k.inTransaction(ctx, nil, func(q querier) error {
		for _, text := range tables {
			if _, err := q.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		if err := k.addOrphan(ctx, q); err != nil {
			return err
		}
		return k.nameTables(ctx, q, "assent_barrier", "assent_marker", "assent_age")
	})
}

// What finds the column orphan, of a table that was made before all SDKs had it. It is looked at first, so that who may not alter
// the table starts, too.
var hasOrphan = map[Dialect]string{
	SQLite:     "SELECT count(*) FROM pragma_table_info('assent_barrier') WHERE name = 'orphan'",
	PostgreSQL: `SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('assent_barrier') AND attname = 'orphan' AND NOT attisdropped`,
	MariaDB: `SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'assent_barrier'
AND column_name = 'orphan'`,
}

func (k *Keeper) addOrphan(ctx context.Context, q querier) error {
	var columns int
	if err := q.QueryRowContext(ctx, hasOrphan[k.dialect]).Scan(&columns); err != nil || columns != 0 {
		return err
	}
	_, err := q.ExecContext(ctx, "ALTER TABLE assent_barrier ADD COLUMN orphan INT NOT NULL DEFAULT 0")
	if numberOf(err) == 1060 { // it is there: of who started at the same moment
		return nil
	}
	return err
}

// nameTables: a handler that says SET search_path, or USE, does not put our rows elsewhere, nor do those of later ones.
func (l *local) nameTables(ctx context.Context, q querier, tables ...string) error {
	if l.dialect == SQLite {
		l.names = strings.NewReplacer()
		return nil
	}
	text := `SELECT relname, quote_ident(nspname) || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (to_regclass('` + strings.Join(tables, "'), to_regclass('") + "'))"
	if l.dialect == MariaDB {
		text = "SELECT name, CONCAT('`', REPLACE(DATABASE(), '`', '``'), '`.', name) FROM (SELECT '" + strings.Join(tables, "' name UNION SELECT '") + "' name) tables"
	}
	rows, err := q.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name, full string
		if err := rows.Scan(&name, &full); err != nil {
			return err
		}
		names = append(names, name, full)
	}
	l.names = strings.NewReplacer(names...)
	return rows.Err()
}

// sql has the tables' full names, and the dialect's marks in place of "?".
func (l *local) sql(text string) string {
	text = l.names.Replace(text)
	if l.dialect != PostgreSQL {
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

// isDurable says why what the server calls committed is not.
func (l *local) isDurable(ctx context.Context) error {
	if l.dialect != MariaDB {
		return nil
	}
	var flush int
	if err := l.db.QueryRowContext(ctx, "SELECT @@global.innodb_flush_log_at_trx_commit").Scan(&flush); err != nil {
		return err
	}
	if flush != 1 && flush != 3 {
		return fmt.Errorf("the server has innodb_flush_log_at_trx_commit = %d: what it calls committed would not survive a power cut; set it to 1", flush)
	}
	return nil
}

// durably is an INSERT or UPDATE whose transaction is durable when it is committed, also where synchronous_commit is off; nothing
// that is stronger is weakened, and the session stays as it is.
func (l *local) durably(text string) string {
	if l.dialect == PostgreSQL {
		text += " RETURNING (SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off')"
	}
	return l.sql(text)
}

#pragma once

// What a lane says to the server, all of it prepared once for each connection. A test reads this
// folder's SQL and refuses what is not in the set of words that stores of PostgreSQL's kind share.
//
// A condition that must hold is a division by zero when it does not: the whole group is undone on
// the server, without a question coming back first.

namespace assent::log {

struct LaneStatement {
  const char* name;
  const char* sql;
};

inline constexpr LaneStatement kLaneStatements[] = {
    {"begin", "BEGIN ISOLATION LEVEL READ COMMITTED"},
    {"commit", "COMMIT"},

    // The fence. Whoever takes this member's slots sets `fenced` on the row that is locked here, so
    // he waits for this group, and the next one sees him. Counts the group (`seq`). A session that
    // is not the one that opened the lane lacks its settings: a pooler stands between.
    {"fence",
     "WITH f AS (INSERT INTO batch (epoch, lane, seq) SELECT epoch, lane, $3::bigint FROM lane"
     " WHERE epoch = $1::bigint AND lane = $2::bigint AND conn = $4::bigint AND NOT fenced"
     " AND backend = pg_backend_pid() FOR SHARE RETURNING 1)"
     " SELECT 1 / (SELECT count(*) FROM f)"},
    {"forget_groups",
     "DELETE FROM batch WHERE epoch = $1::bigint AND lane = $2::bigint AND seq <= $3::bigint"},

    // What begins. Those that are not returned have a gid that a finished row has.
    {"begin_rows",
     "INSERT INTO live (slot, serial, version, state_crc, spec_crc, gid, state, spec)"
     " SELECT slot, serial, version, state_crc, spec_crc, gid, state, spec"
     " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],"
     " $6::text[], $7::bytea[], $8::bytea[])"
     " AS u(slot, serial, version, state_crc, spec_crc, gid, state, spec)"
     " WHERE NOT EXISTS (SELECT 1 FROM finished f WHERE f.gid = u.gid) RETURNING serial"},
    {"begin_row",
     "INSERT INTO live (slot, serial, version, state_crc, spec_crc, gid, state, spec)"
     " SELECT $1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::text, $7::bytea,"
     " $8::bytea WHERE NOT EXISTS (SELECT 1 FROM finished WHERE gid = $6::text) RETURNING serial"},

    // What changes: each row from the version before.
    {"update_rows",
     "WITH w AS (UPDATE live l SET version = u.version, state_crc = u.state_crc, state = u.state"
     " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],"
     " $6::bytea[]) AS u(slot, serial, stored, version, state_crc, state)"
     " WHERE l.slot = u.slot AND l.serial = u.serial AND l.version = u.stored RETURNING 1)"
     " SELECT 1 / (CASE WHEN (SELECT count(*) FROM w) = $7::bigint THEN 1 ELSE 0 END)"},
    {"update_row",
     "WITH w AS (UPDATE live SET version = $4::bigint, state_crc = $5::bigint, state = $6::bytea"
     " WHERE slot = $1::bigint AND serial = $2::bigint AND version = $3::bigint RETURNING 1)"
     " SELECT 1 / (SELECT count(*) FROM w)"},

    // What ends moves, with its spec, from one table to the other on the server.
    {"end_rows",
     "WITH u AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[],"
     " $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])"
     " AS u(slot, serial, stored, gid, outcome, unix_ms, crc, state)),"
     " m AS (DELETE FROM live l USING u WHERE l.slot = u.slot AND l.serial = u.serial"
     " AND l.version = u.stored AND l.gid = u.gid"
     " RETURNING l.serial, l.slot, u.outcome, u.unix_ms, u.crc, l.spec_crc, l.gid, u.state,"
     " l.spec),"
     " w AS (INSERT INTO finished (serial, slot, outcome, finished_unix_ms, age_ms, crc, spec_crc,"
     " gid, state, spec) SELECT serial, slot, outcome, unix_ms, $9::bigint, crc, spec_crc, gid,"
     " state, spec FROM m RETURNING 1)"
     " SELECT 1 / (CASE WHEN (SELECT count(*) FROM w) = $10::bigint THEN 1 ELSE 0 END)"},
    {"end_row",
     "WITH m AS (DELETE FROM live WHERE slot = $1::bigint AND serial = $2::bigint"
     " AND version = $3::bigint AND gid = $4::text RETURNING spec_crc, gid, spec),"
     " w AS (INSERT INTO finished (serial, slot, outcome, finished_unix_ms, age_ms, crc, spec_crc,"
     " gid, state, spec) SELECT $2::bigint, $1::bigint, $5::bigint, $6::bigint, $9::bigint,"
     " $7::bigint, spec_crc, gid, $8::bytea, spec FROM m RETURNING 1)"
     " SELECT 1 / (SELECT count(*) FROM w)"},

    // What begins and ends in one group. Those that are not returned: as above.
    {"whole_rows",
     "INSERT INTO finished (serial, slot, outcome, finished_unix_ms, age_ms, crc, spec_crc, gid,"
     " state, spec) SELECT serial, slot, outcome, unix_ms, $9::bigint, crc, spec_crc, gid, state,"
     " spec FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],"
     " $6::bigint[], $7::text[], $8::bytea[], $10::bytea[])"
     " AS u(slot, serial, outcome, unix_ms, crc, spec_crc, gid, state, spec)"
     " WHERE NOT EXISTS (SELECT 1 FROM finished f WHERE f.gid = u.gid) RETURNING serial"},

    {"forget_rows",
     "DELETE FROM finished f USING unnest($1::text[], $2::bigint[]) AS u(gid, slot)"
     " WHERE f.gid = u.gid AND f.slot = u.slot RETURNING f.gid"},

    // A slot that somebody asked for becomes his: all that are named, or none.
    {"release",
     "WITH w AS (UPDATE slot s SET owner = s.wanted, slot_epoch = s.slot_epoch + 1, wanted = 0,"
     " serial_floor_ms = u.floor_ms FROM unnest($2::bigint[], $3::bigint[]) AS u(id, floor_ms)"
     " WHERE s.id = u.id AND s.owner = $1::bigint AND s.wanted <> 0 RETURNING 1)"
     " SELECT 1 / (CASE WHEN (SELECT count(*) FROM w) = $4::bigint THEN 1 ELSE 0 END)"},

    // Rows that have been kept for their time, from a serial on, among the next so many.
    {"expire",
     "WITH look AS (SELECT serial, slot, outcome, age_ms FROM finished WHERE serial > $1::bigint"
     " ORDER BY serial LIMIT $2::bigint),"
     " old AS (SELECT serial FROM look WHERE age_ms < $3::bigint AND slot = ANY($4::bigint[])"
     " AND NOT outcome = ANY($5::bigint[]) ORDER BY serial LIMIT $6::bigint),"
     " gone AS (DELETE FROM finished WHERE serial IN (SELECT serial FROM old) RETURNING 1)"
     " SELECT (SELECT count(*) FROM look), (SELECT count(*) FROM old),"
     " (SELECT count(*) FROM gone), (SELECT min(serial) FROM look WHERE age_ms >= $3::bigint),"
     " (SELECT max(serial) FROM look), (SELECT max(serial) FROM old)"},

    // The same, before anything is removed.
    {"expired",
     "WITH look AS (SELECT serial, slot, outcome, age_ms FROM finished WHERE serial > $1::bigint"
     " ORDER BY serial LIMIT $2::bigint),"
     " old AS (SELECT serial FROM look WHERE age_ms < $3::bigint AND slot = ANY($4::bigint[])"
     " AND NOT outcome = ANY($5::bigint[]) ORDER BY serial LIMIT $6::bigint)"
     " SELECT (SELECT count(*) FROM look), (SELECT count(*) FROM old), 0::bigint,"
     " (SELECT min(serial) FROM look WHERE age_ms >= $3::bigint), (SELECT max(serial) FROM look),"
     " (SELECT max(serial) FROM old)"},

    // Other bytes in the place of a row's own, which mean the same: of those that are as they were
    // when they were read.
    {"rewrite_live",
     "UPDATE live l SET state_crc = u.state_crc, spec_crc = u.spec_crc, state = u.state,"
     " spec = u.spec FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],"
     " $5::bigint[], $6::bytea[], $7::bytea[])"
     " AS u(slot, serial, version, state_crc, spec_crc, state, spec)"
     " WHERE l.slot = u.slot AND l.serial = u.serial AND l.version = u.version"},
    {"rewrite_finished",
     "UPDATE finished f SET crc = u.crc, spec_crc = u.spec_crc, state = u.state, spec = u.spec"
     " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[])"
     " AS u(serial, crc, spec_crc, state, spec) WHERE f.serial = u.serial"},

    // ---- Reading: each of these is one snapshot.

    // How many of these are this member's, and the store's generation.
    {"owned",
     "SELECT count(*), (SELECT generation FROM log) FROM slot WHERE id = ANY($1::bigint[])"
     " AND owner = $2::bigint"},

    {"count_finished", "SELECT count(*) FROM (SELECT 1 FROM finished LIMIT 1000000) AS f"},

    // A gid in every row, live or finished, of every slot; and which epochs there are: when
    // `starts` and `generation` are the same, they are.
    {"find",
     "SELECT 2::bigint, serial, slot::bigint, outcome::bigint, finished_unix_ms, crc, spec_crc,"
     " gid, state, spec FROM finished WHERE gid = $1::text"
     " UNION ALL SELECT 1::bigint, l.serial, l.slot::bigint, s.owner, 0::bigint, 0::bigint,"
     " 0::bigint, l.gid, ''::bytea, ''::bytea FROM live l JOIN slot s ON s.id = l.slot"
     " WHERE l.slot = $2::bigint AND l.gid = $1::text"
     " UNION ALL SELECT 0::bigint, starts, generation, 0::bigint, 0::bigint, 0::bigint, 0::bigint,"
     " ''::text, ''::bytea, ''::bytea FROM log"},
    {"find_epochs",
     "SELECT 2::bigint, serial, slot::bigint, outcome::bigint, finished_unix_ms, crc, spec_crc,"
     " gid, state, spec FROM finished WHERE gid = $1::text"
     " UNION ALL SELECT 1::bigint, l.serial, l.slot::bigint, s.owner, 0::bigint, 0::bigint,"
     " 0::bigint, l.gid, ''::bytea, ''::bytea FROM live l JOIN slot s ON s.id = l.slot"
     " WHERE l.slot = $2::bigint AND l.gid = $1::text"
     " UNION ALL SELECT 0::bigint, starts, generation, 0::bigint, 0::bigint, 0::bigint, 0::bigint,"
     " ''::text, ''::bytea, ''::bytea FROM log"
     " UNION ALL SELECT 3::bigint, m.epoch, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint,"
     " ''::text, ''::bytea, ''::bytea FROM member m JOIN log g ON m.generation = g.generation"},
    {"scan",
     "SELECT serial, slot::bigint, outcome::bigint, finished_unix_ms, crc, spec_crc, gid, state,"
     " spec FROM finished WHERE serial < $1::bigint ORDER BY serial DESC LIMIT $2::bigint"},

    // Some rows, for a walk over those of these slots.
    {"walk_live",
     "SELECT slot::bigint, serial, version, state_crc, spec_crc, gid, state, spec FROM live"
     " WHERE slot = ANY($1::bigint[]) AND (slot > $2::bigint OR (slot = $2::bigint AND"
     " serial > $3::bigint)) ORDER BY slot, serial LIMIT $4::bigint"},
    {"walk_finished",
     "SELECT serial, slot::bigint, outcome::bigint, finished_unix_ms, crc, spec_crc, gid, state,"
     " spec FROM finished WHERE serial > $2::bigint AND slot = ANY($1::bigint[])"
     " ORDER BY serial LIMIT $3::bigint"},

    // Whether what a message without an answer began is there.
    {"which_began",
     "SELECT u.serial FROM unnest($1::bigint[], $2::bigint[]) AS u(slot, serial)"
     " WHERE EXISTS (SELECT 1 FROM live l WHERE l.slot = u.slot AND l.serial = u.serial)"
     " OR EXISTS (SELECT 1 FROM finished f WHERE f.serial = u.serial)"},
    {"which_taken",
     "SELECT serial, gid FROM finished WHERE gid = ANY($1::text[]) OR serial = ANY($2::bigint[])"},
    // For the words about a row that is not as it should be.
    {"which_stored",
     "SELECT l.serial, l.version, l.gid FROM unnest($1::bigint[], $2::bigint[]) AS u(slot, serial)"
     " JOIN live l ON l.slot = u.slot AND l.serial = u.serial"},
};

// Of some slots, each from behind a serial on; sorted by neither, for each slot's rows come by
// their key.
inline constexpr const char* kLoadSql =
    "SELECT l.slot::bigint, l.serial, l.version, l.state_crc, l.spec_crc, l.gid, l.state, l.spec"
    " FROM unnest($1::bigint[], $2::bigint[]) AS w(slot, behind) CROSS JOIN LATERAL"
    " (SELECT * FROM live WHERE live.slot = w.slot AND live.serial > w.behind"
    " ORDER BY live.serial) AS l";

}  // namespace assent::log

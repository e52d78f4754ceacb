// The row of a branch, as the lock that instances in every language have in common; and what pools, sessions and handlers may not do to it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as assent from "assent-sdk";
import { Kept } from "../dist/barrier.js";
import { LEFT_BEHIND } from "../dist/sql.js";
import { endingOf, statementsOf } from "../dist/statements.js";
import { asker, InMariaDB, InPostgreSQL, InSQLite, text } from "./bank.mjs";
import { until } from "./rig.mjs";

const { Kind, Operation, Protocol, Verdict } = assent;

/** As another program writes it; state 0 as one does whose handler has committed by itself. */
const rowOf = (gid, { state = Kept.NONE, protocol = Protocol.TCC, action = "pay", schema = "" } = {}) =>
  `INSERT INTO ${schema}assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, second_result, coordinator_id, began_epoch, touched_ms) ` +
  `VALUES('${gid}', '1', ${protocol}, '${action}', ${state}, 0, '', '', '', 1, 1, 1)`;

/** A pool whose connections do `then(connection)` after each statement that begins so. */
function hooked(pool, start, then) {
  const connect = pool.connect ? "connect" : "getConnection";
  return {
    options: pool.options, pool: pool.pool, on: () => undefined,
    async [connect]() {
      const real = await pool[connect]();
      return new Proxy(real, { get: (_, name) => {
        if (name !== "query") return typeof real[name] === "function" ? real[name].bind(real) : real[name];
        return async (sql, parameters) => {
          const answer = await real.query(sql, parameters);
          if (sql.startsWith(start)) await then(real);
          return answer;
        };
      } });
    },
  };
}

class Kinds {
  static servers = [new InPostgreSQL(), new InMariaDB()];
  static all = [...Kinds.servers, new InSQLite()];
}

for (const kind of Kinds.all) {
  describe(kind.name, () => {
    const say = asker(kind);
    const isServer = kind.name !== "SQLite";
    const coins = async (name = "ann") => Number((await kind.sql(`SELECT coins FROM account WHERE name = '${name}'`))[0].coins);
    const states = async () => Object.fromEntries((await kind.sql("SELECT gid, state FROM assent_barrier")).map(({ gid, state }) => [gid, state]));
    const cleanUp = [];
    before(async () => {
      if (isServer) kind.server = await kind.start({ after: (what) => cleanUp.push(what) });
    });
    after(async () => {
      for (const what of cleanUp) await what();
    });
    const check = (what, work) => test(what, async (t) => {
      if (isServer && !kind.server) return t.skip(`no ${kind.name} is installed`);
      await kind.open(t);
      try {
        await work(t);
      } finally {
        await kind.close();
      }
    });

    // What has an advisory lock of another form, or none, has the row.
    if (isServer) check("an instance in another language is waited for", async () => {
      const other = kind.pool.connect ? await kind.pool.connect() : await kind.pool.getConnection();
      const during = async (statements, operation, gid) => {
        await other.query("BEGIN");
        for (const sql of statements) await other.query(sql);
        const asked = say(operation, { action: "pay", gid });
        const waits = kind.name === "MariaDB" ? "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'INSERT INTO%assent_barrier(%' AND id <> CONNECTION_ID()" : "SELECT 1 FROM pg_locks WHERE NOT granted";
        await until("it waits", async () => (await kind.sql(waits)).length > 0);
        await other.query("COMMIT");
        return await asked;
      };
      try {
        const first = await during([rowOf("g1", { state: Kept.DONE })], Operation.TRY, "g1");
        assert.deepEqual([first.kind, first.reason], [Kind.DONE, ""]);
        const second = await during(["SELECT * FROM assent_barrier WHERE gid = 'g1' FOR UPDATE", "UPDATE account SET coins = coins - 1 WHERE name = 'ann'",
          `UPDATE assent_barrier SET state = ${Kept.FINISHED} WHERE gid = 'g1'`], Operation.CONFIRM, "g1");
        assert.deepEqual([second.kind, await coins()], [Kind.DONE, 99], second.reason);
      } finally {
        if (other.destroy) other.destroy();
        else other.release(true);
      }
    });

    check("a row that somebody else has moved is not moved, and nothing is kept", async () => {
      const payload = JSON.stringify(["UPDATE account SET coins = 0", `UPDATE assent_barrier SET state = ${Kept.TOMBSTONE} WHERE gid = 'g1'`]);
      const reply = await say(Operation.ACTION, { action: "stubborn", payload });
      assert.deepEqual([reply.kind, reply.reason, await coins(), await states()], [Kind.RETRY_LATER, "somebody else was at this branch", 100, {}]);
      if (!isServer) return;
      const moved = () => kind.sql(`UPDATE assent_barrier SET state = ${Kept.UNDONE} WHERE gid = 'g2'`);
      const verb = kind.name === "MariaDB" ? "XA COMMIT" : "COMMIT PREPARED";
      const db = kind.adapter({}, hooked(kind.newPool(), verb, moved));
      assert.equal((await say(Operation.PREPARE, { gid: "g2", db })).kind, Kind.DONE);
      const settled = await say(Operation.COMMIT, { gid: "g2", db });
      assert.deepEqual([settled.kind, settled.reason, await states()], [Kind.RETRY_LATER, "somebody else was at this branch", { g2: Kept.UNDONE }]);
      await db.close();
    });

    check("who keeps nothing leaves no row", async () => {
      const is = async (operation, action, kindOf) => assert.deepEqual([(await say(operation, { action })).kind, await states(), await coins()], [kindOf, {}, 100]);
      for (let time = 0; time < 2; time += 1) await is(Operation.ACTION, "busy", Kind.RETRY_LATER);
      await is(Operation.CONFIRM, "pay", Kind.REFUSED);
    });

    check("a row that a handler has committed by itself is for a person", async () => {
      await kind.sql(rowOf("g1"));
      await kind.sql(rowOf("g2", { protocol: Protocol.SAGA, action: "take" }));
      const is = async (operation, gid, kindOf) => {
        const reply = await say(operation, { action: "pay", gid });
        assert.deepEqual([reply.kind, reply.reason, await coins()], [kindOf, LEFT_BEHIND, 100]);
      };
      await is(Operation.TRY, "g1", Kind.RETRY_LATER);
      await is(Operation.CONFIRM, "g1", Kind.REFUSED);
      await is(Operation.CANCEL, "g1", Kind.REFUSED);
      if (isServer) {
        await kind.sql(rowOf("g3", { protocol: Protocol.TWO_PHASE, action: "take" }));
        for (const [operation, kindOf] of [[Operation.PREPARE, Kind.RETRY_LATER], [Operation.COMMIT, Kind.REFUSED], [Operation.ROLLBACK, Kind.REFUSED]]) {
          const reply = await say(operation, { gid: "g3" });
          assert.deepEqual([reply.kind, reply.reason], [kindOf, LEFT_BEHIND]);
        }
      }
      const old = kind.adapter({ retentionMs: -1000 });
      await old.start();
      assert.deepEqual(await old.questions(10), []);
      await old.answer({ gid: "g1", branchId: "1", coordinatorId: 1, beganEpoch: 1n }, Verdict.ABORT, true);
      await old.close();
      assert.equal((await states()).g1, Kept.NONE);
      await kind.sql(`UPDATE assent_barrier SET state = ${Kept.DONE} WHERE gid = 'g1'`);
      await kind.sql(`UPDATE assent_barrier SET state = ${Kept.REFUSED} WHERE gid = 'g2'`);
      assert.equal((await say(Operation.TRY, { action: "pay" })).kind, Kind.DONE);
      assert.equal((await say(Operation.CONFIRM, { action: "pay" })).kind, Kind.DONE);
      assert.equal((await say(Operation.ACTION, { gid: "g2" })).kind, Kind.REFUSED);
      assert.equal(await coins(), 99);
    });

    if (kind.name === "MariaDB") check("a handler that commits by itself runs once", async () => {
      const payload = JSON.stringify(["UPDATE account SET coins = coins - 1 WHERE name = 'ann'", "CREATE TABLE IF NOT EXISTS more(x INT)"]);
      assert.match((await say(Operation.ACTION, { action: "stubborn", payload })).reason, /the handler's transaction is gone/);
      const again = await say(Operation.ACTION, { action: "stubborn", payload });
      assert.deepEqual([again.kind, again.reason, await coins()], [Kind.RETRY_LATER, LEFT_BEHIND, 99]);
      assert.equal((await say(Operation.COMPENSATE, { action: "stubborn" })).reason, LEFT_BEHIND);
    });

    if (kind.name === "MariaDB") check("nor twice what finishes or undoes", async () => {
      for (const [first, second, becomes] of [[Operation.TRY, Operation.CONFIRM, Kept.FINISHED], [Operation.TRY, Operation.CANCEL, Kept.UNDONE],
        [Operation.ACTION, Operation.COMPENSATE, Kept.UNDONE]]) {
        const gid = Operation[second];
        const had = await coins();
        const is = async (operation, kindOf, reason, has) => {
          const reply = await say(operation, { action: "late", gid });
          assert.deepEqual([reply.kind, reply.reason.includes(reason), await coins()], [kindOf, true, has], reply.reason);
        };
        await is(first, Kind.DONE, "", had);
        await is(second, Kind.RETRY_LATER, "the handler's transaction is gone", had - 1);
        for (let time = 0; time < 2; time += 1) {
          await is(second, Kind.REFUSED, LEFT_BEHIND, had - 1);
          await is(first, Kind.RETRY_LATER, LEFT_BEHIND, had - 1);
        }
        await kind.sql(`UPDATE assent_barrier SET state = ${becomes} WHERE gid = '${gid}'`); // a person has looked
        await is(second, Kind.DONE, "", had - 1);
      }
    });

    check("a handler's savepoint is its own", async () => {
      const payload = JSON.stringify(["UPDATE account SET coins = 0", "SAVEPOINT assent_handler", "SAVEPOINT assent_one"]);
      assert.deepEqual([(await say(Operation.ACTION, { action: "stubborn", gid: "no1", payload })).kind, await coins()], [Kind.REFUSED, 100]);
    });

    check("the row is in the place where it was at the start", async () => {
      const away = { PostgreSQL: ["SET search_path = elsewhere"], MariaDB: ["USE elsewhere"], SQLite: ["CREATE TEMP TABLE assent_barrier AS SELECT * FROM assent_barrier WHERE 0"] };
      if (isServer) {
        await kind.sql("CREATE SCHEMA IF NOT EXISTS elsewhere");
        for (const table of ["assent_barrier", "assent_marker"]) await kind.sql(`CREATE TABLE elsewhere.${table} AS SELECT * FROM ${table}`);
      }
      const payload = JSON.stringify(away[kind.name]);
      for (let time = 0; time < 2; time += 1) assert.equal((await say(Operation.ACTION, { action: "stubborn", payload })).kind, Kind.DONE);
      if (isServer) {
        const db = kind.adapter(); // whose sessions are not away yet
        for (const operation of [Operation.PREPARE, Operation.COMMIT]) {
          const reply = await say(operation, { action: "away", gid: "g2", payload, db });
          assert.equal(reply.kind, Kind.DONE, reply.reason);
        }
        await db.close();
        assert.deepEqual(await kind.sql("SELECT * FROM elsewhere.assent_barrier"), []);
        await kind.sql(kind.name === "MariaDB" ? "DROP SCHEMA elsewhere" : "DROP SCHEMA elsewhere CASCADE");
      }
      assert.equal((await states()).g1, Kept.DONE);
    });

    check("a table of another language gets the column that it lacks", async () => {
      await kind.sql("ALTER TABLE assent_barrier DROP COLUMN orphan");
      const next = kind.adapter();
      await next.start();
      assert.equal((await say(Operation.TRY, { db: next })).kind, Kind.DONE);
      assert.deepEqual(await next.questions(10), []);
      await next.close();
    });

    if (kind.name === "PostgreSQL") check("what is answered is on disk, whatever the sessions begin with", async () => {
      for (const [begins, has] of [["off", "on"], ["local", "local"]]) {
        const shown = [];
        const pool = kind.newPool({ options: `-c synchronous_commit=${begins}` });
        const db = kind.adapter({}, hooked(pool, "COMMIT PREPARED", async (client) => shown.push((await client.query("SHOW synchronous_commit")).rows[0].synchronous_commit)));
        const local = await say(Operation.ACTION, { action: "get", gid: begins, payload: "SHOW synchronous_commit", db });
        assert.equal(JSON.parse(text(local))[0].synchronous_commit, has);
        await say(Operation.PREPARE, { gid: `${begins}2`, db });
        await say(Operation.COMMIT, { gid: `${begins}2`, db });
        assert.deepEqual(shown, [has]);
        await db.close();
      }
    });

    if (kind.name === "MariaDB") {
      check("a server that does not flush is refused", async () => {
        for (const setting of [0, 2]) {
          await kind.sql(`SET GLOBAL innodb_flush_log_at_trx_commit = ${setting}`);
          await assert.rejects(kind.adapter().start(),
            (error) => error instanceof assent.ConfigError && error.message.includes(`innodb_flush_log_at_trx_commit = ${setting}:`));
        }
        await kind.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 3");
        await kind.adapter().start();
        await kind.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1");
      });

      check("whatever the pool's sessions have, what is answered is committed, and they have it again", async () => {
        for (const begins of ["SET SESSION autocommit = 0", "SET SESSION completion_type = 'CHAIN'", "SET SESSION completion_type = 'RELEASE'", "START TRANSACTION"]) {
          const pool = kind.newPool({ connectionLimit: 6 });
          pool.on("connection", (connection) => connection.query(begins));
          const db = kind.adapter({}, pool);
          await kind.sql("DELETE FROM assent_barrier");
          const is = async (operation, gid, expected) => {
            const reply = await say(operation, { gid, db });
            assert.equal(reply.kind, Kind.DONE, `${begins}: ${reply.reason}`);
            assert.equal((await states())[gid], expected, begins);
          };
          const had = await coins();
          await is(Operation.TRY, "g0", Kept.DONE);
          await is(Operation.ROLLBACK, "g2", Kept.TOMBSTONE);
          if (begins !== "START TRANSACTION") { // whose session does not begin anything of XA
            await is(Operation.PREPARE, "g1", Kept.PREPARED);
            await is(Operation.COMMIT, "g1", Kept.FINISHED);
            assert.equal(await coins(), had - 2);
          }
          const [[session]] = await pool.query("SELECT @@autocommit AS autocommit, @@completion_type AS completion, @@innodb_lock_wait_timeout AS patience");
          const completion = /'(\w+)'/.exec(begins)?.[1] ?? "NO_CHAIN";
          assert.deepEqual({ ...session }, { autocommit: begins.includes("autocommit") ? 0 : 1, completion, patience: 50 });
          await db.close();
        }
      });
    }
  });
}

test("what ends a transaction is seen, wherever it stands, and nothing else is taken for it", () => {
  const postgresql = { dollar: true };
  const mariadb = { hash: true, backslash: true };
  const sqlite = { single: true };
  for (const [lexicon, sql, word] of [
    [sqlite, "; ;\n-- x\n/* ; */ End", "END"], [sqlite, "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = 1; END"],
    [postgresql, "SELECT ';' ; commit", "COMMIT"], [postgresql, "SELECT E'\\'; COMMIT; '", undefined], [postgresql, "SELECT '\\'; COMMIT", "COMMIT"],
    [postgresql, "SELECT $$;COMMIT;$$", undefined], [postgresql, "SELECT $a$ $$ ;COMMIT; $a$; ABORT", "ABORT"], [postgresql, "SELECT a$1, $1; COMMIT", "COMMIT"],
    [postgresql, 'SELECT ";COMMIT;"'], [postgresql, "SELECT 1 # 2; COMMIT", "COMMIT"], [postgresql, "-- x\rCOMMIT", "COMMIT"], [postgresql, "LOCK TABLE account"],
    [postgresql, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END"],
    [postgresql, "create or replace procedure p() BEGIN ATOMIC INSERT INTO a VALUES (1); END; COMMIT", "COMMIT"],
    [postgresql, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$; END", "END"],
    [postgresql, "ROLLBACK /* x */ TO SAVEPOINT a"], [postgresql, "ROLLBACK AND CHAIN", "ROLLBACK"], [postgresql, "PREPARE/**/TRANSACTION 'x'", "PREPARE TRANSACTION"],
    [mariadb, "SELECT 1 --1; COMMIT", "COMMIT"], [mariadb, "SELECT 1 -- 1; COMMIT"], [mariadb, "SELECT '\\'; COMMIT; '"], [mariadb, "SELECT 'it''s; COMMIT'"],
    [mariadb, "/*!50000 COMMIT */", "COMMIT"], [mariadb, "/*M! XA END 'a' */", "XA"], [mariadb, "SET @a = 1, autocommit=0", "SET autocommit"],
    [mariadb, "SET SESSION `autocommit` = 0", "SET autocommit"], [mariadb, "SET @@autocommit := 0", "SET autocommit"], [mariadb, "SET @autocommit = 0"],
    [mariadb, "SET @a = @@autocommit"], [mariadb, "lock table a read", "LOCK TABLE"], [mariadb, "CALL transfer()"], [mariadb, "SELECT `;COMMIT;`"],
    [mariadb, "UPDATE a SET committed = 1"], [mariadb, "COMMITTED"],
  ]) assert.equal(endingOf(sql, lexicon), word, sql);
  assert.deepEqual(statementsOf("SELECT 'never ends; COMMIT", mariadb), ["SELECT ''"]);
  assert.deepEqual(statementsOf("/* never ends; COMMIT", postgresql), []);
});

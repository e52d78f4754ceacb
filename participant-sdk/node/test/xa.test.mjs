// Two-phase work over MariaDB, which says OK to an XA COMMIT that does nothing while the session that prepared it is ending
// (tests/sdk_python/xa_window.py shows it): who settles, when, and what is believed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createPool } from "mysql2/promise";
import * as assent from "assent-sdk";
import { ask } from "assent-sdk/testkit";
import { Kept } from "../dist/barrier.js";
import { workLockOfBranch } from "../dist/mysql.js";
import { protocolOf } from "../dist/words.js";
import { DETACH_TIME_MS, MAX_KEPT_SESSIONS, XaSessions } from "../dist/xa-sessions.js";
import { startMariaDB, until } from "./rig.mjs";

const { Kind, Operation } = assent;
const FORMAT = 0x4153;

/** What the adapters say to the server. */
class Wire {
  said = [];
  swallowed; // is answered with OK, and not done
  lost; // is done, and has no answer, once

  pool(uri) {
    const real = createPool({ uri });
    return { pool: real.pool, real, getConnection: async () => this.#watched(await real.getConnection()) };
  }

  #watched(connection) {
    return {
      query: async (sql, parameters) => {
        this.said.push({ session: connection.threadId, sql, at: performance.now() });
        if (this.swallowed && sql.startsWith(this.swallowed)) return await connection.query("DO 0");
        const answer = await connection.query(sql, parameters);
        if (this.lost && sql.startsWith(this.lost)) {
          this.lost = undefined;
          throw new Error("Connection lost: The server closed the connection.");
        }
        return answer;
      },
      release: () => connection.release(),
      destroy: () => connection.destroy(),
    };
  }

  of(start) {
    return this.said.filter(({ sql }) => sql.startsWith(start));
  }
}

class Vault {
  wire = new Wire();
  made = [];

  async open(server) {
    this.url = await server.say("new");
    this.outside = createPool({ uri: this.url });
    this.db = await this.adapter();
    await this.sql("INSERT INTO account VALUES ('ann', 100)");
  }

  /** Another process on the same database. */
  async adapter() {
    const pool = this.wire.pool(this.url);
    const db = new assent.MySQL(pool, { tables: "CREATE TABLE IF NOT EXISTS account(name VARCHAR(64) PRIMARY KEY, coins BIGINT NOT NULL)" });
    db.twoPhase("take", { prepare: async (tx, call) => void (await tx.run("UPDATE account SET coins = coins - 1 WHERE name = ?", [call.text])) });
    await db.start();
    this.made.push({ db, pool });
    return db;
  }

  sql = async (text) => (await this.outside.query(text))[0];
  coins = async () => Number((await this.sql("SELECT coins FROM account WHERE name = 'ann'"))[0].coins);
  prepared = async () => (await this.sql("XA RECOVER")).length;
  worker = async (gid) => (await this.sql(`SELECT IS_USED_LOCK('${workLockOfBranch({ gid, branchId: "1" })}') AS worker`))[0].worker;
  say = (operation, gid = "g1", db = this.db, payload = "ann") =>
    ask(db, { gid, branchId: "1", operation, protocol: protocolOf(operation), action: "take", payload: Buffer.from(payload) });

  async close() {
    for (const { db, pool } of this.made.splice(0)) {
      await db.close();
      await pool.real.end();
    }
    const left = await this.sql("XA RECOVER"); // of a test that failed
    if (left.length > 0) await sleep(2 * DETACH_TIME_MS);
    for (const { gtrid_length: length, data } of left) await this.sql(`XA ROLLBACK '${String(data).slice(0, length)}','${String(data).slice(length)}',${FORMAT}`);
    await this.outside.end();
  }
}

describe("XA", () => {
  const cleanUp = [];
  let server;
  before(async () => {
    server = await startMariaDB({ after: (what) => cleanUp.push(what) });
  });
  after(async () => {
    for (const what of cleanUp) await what();
  });
  const check = (what, work) => test(what, async (t) => {
    if (!server) return t.skip("no MariaDB is installed");
    const vault = new Vault();
    await vault.open(server);
    try {
      await work(vault);
    } finally {
      await vault.close();
    }
  });

  check("the session that has prepared settles", async (v) => {
    for (const [gid, operation, verb] of [["g1", Operation.COMMIT, "COMMIT"], ["g2", Operation.ROLLBACK, "ROLLBACK"]]) {
      v.wire.said = [];
      assert.equal((await v.say(Operation.PREPARE, gid)).kind, Kind.DONE);
      assert.equal((await v.say(Operation.PREPARE, gid)).kind, Kind.DONE); // which takes nothing from it
      assert.equal((await v.say(operation, gid)).kind, Kind.DONE);
      const said = v.wire.of("XA ");
      assert.deepEqual(said.map(({ sql }) => sql.split(" ")[1]), ["START", "END", "PREPARE", verb]);
      assert.equal(new Set(said.map(({ session }) => session)).size, 1);
    }
    assert.deepEqual([await v.coins(), await v.prepared()], [99, 0]);
  });

  check("what has no session is left alone for a moment", async (v) => {
    for (const [gid, operation, verb, alive] of [["g1", Operation.COMMIT, "COMMIT", true], ["g2", Operation.ROLLBACK, "ROLLBACK", true], ["g3", Operation.COMMIT, "COMMIT", false]]) {
      await v.say(Operation.PREPARE, gid);
      if (!alive) {
        await v.db.close();
        await until("its session has ended", async () => (await v.worker(gid)) === null);
      }
      const other = await v.adapter();
      v.wire.said = [];
      const reply = await v.say(operation, gid, other);
      assert.equal(reply.kind, Kind.DONE, reply.reason);
      assert.equal(v.wire.of("KILL").length, alive ? 1 : 0);
      const waited = v.wire.of(`XA ${verb}`)[0].at - v.wire.of(alive ? "KILL" : "SELECT IS_USED_LOCK")[0].at;
      assert.ok(waited >= DETACH_TIME_MS, `${waited} ms`);
    }
    assert.deepEqual([await v.coins(), await v.prepared()], [98, 0]);
  });

  check("an OK that does nothing is not believed", async (v) => {
    for (const [gid, operation, promised] of [["g1", Operation.COMMIT, true], ["g2", Operation.ROLLBACK, true], ["g3", Operation.ROLLBACK, false], ["g4", Operation.PREPARE, false]]) {
      const had = await v.coins();
      const verb = `XA ${operation === Operation.COMMIT ? "COMMIT" : "ROLLBACK"}`;
      await v.say(Operation.PREPARE, gid);
      if (!promised) await v.sql(`DELETE FROM assent_barrier WHERE gid = '${gid}'`);
      for (const db of [v.db, await v.adapter()]) { // that has prepared it, and of another process
        v.wire.swallowed = verb;
        const reply = await v.say(operation, gid, db);
        v.wire.swallowed = undefined;
        assert.equal(reply.kind, Kind.RETRY_LATER, `${verb}: ${reply.reason}`);
        assert.ok(reply.reason.includes(`it is still prepared, but MariaDB said to ${verb}: OK`), reply.reason);
        assert.deepEqual([await v.coins(), await v.prepared()], [had, 1]);
      }
      assert.deepEqual((await v.sql(`SELECT state FROM assent_barrier WHERE gid = '${gid}'`)).map(({ state }) => state), promised ? [Kept.PREPARED] : []);
      assert.equal((await v.say(operation, gid)).kind, Kind.DONE);
      if (operation === Operation.PREPARE) assert.equal((await v.say(Operation.ROLLBACK, gid)).kind, Kind.DONE);
      assert.deepEqual([await v.coins(), await v.prepared()], [operation === Operation.COMMIT ? had - 1 : had, 0]);
    }
  });

  // It is neither a yes nor a no, in whichever session, and what is asked next finds what there is.
  check("the answer to XA is lost", async (v) => {
    for (const [gid, lost, operation, elsewhere] of [["g1", "XA PREPARE", Operation.PREPARE, false], ["g1", "XA COMMIT", Operation.COMMIT, false],
      ["g2", "XA COMMIT", Operation.COMMIT, true], ["g3", "XA ROLLBACK", Operation.ROLLBACK, true]]) {
      if (operation !== Operation.PREPARE) await v.say(Operation.PREPARE, gid);
      const db = elsewhere ? await v.adapter() : v.db;
      v.wire.lost = lost;
      assert.equal((await v.say(operation, gid, db)).kind, Kind.UNKNOWN, lost);
      const reply = await v.say(operation, gid, db);
      assert.equal(reply.kind, Kind.DONE, `${lost}: ${reply.reason}`);
    }
    assert.deepEqual([await v.coins(), await v.prepared()], [98, 0]);
  });

  // A session that worked when its process was cut off does not prepare after somebody was told that nothing is.
  check("nothing comes late", async (v) => {
    const late = await v.outside.getConnection();
    await late.query(`SELECT GET_LOCK('${workLockOfBranch({ gid: "g1", branchId: "1" })}', 0)`);
    await late.query(`XA START 'g1','1',${FORMAT}`);
    await late.query("UPDATE account SET coins = 0");
    assert.equal((await v.say(Operation.ROLLBACK)).kind, Kind.DONE);
    await assert.rejects(late.query(`XA END 'g1','1',${FORMAT}`));
    late.destroy();
    assert.deepEqual([(await v.say(Operation.PREPARE)).kind, await v.coins(), await v.prepared()], [Kind.REFUSED, 100, 0]);
  });

  check("what somebody has committed is not said to be rolled back", async (v) => {
    await v.say(Operation.PREPARE);
    await v.sql(`KILL CONNECTION ${await v.worker("g1")}`);
    await sleep(2 * DETACH_TIME_MS); // the server tells nobody when InnoDB has let go of it
    await v.sql(`XA COMMIT 'g1','1',${FORMAT}`);
    const reply = await v.say(Operation.ROLLBACK);
    assert.equal(reply.kind, Kind.REFUSED);
    assert.match(reply.reason, /HAZARD: its prepared work is gone from XA RECOVER: it was committed by somebody else/);
    assert.equal((await v.say(Operation.COMMIT)).kind, Kind.DONE);
  });

  check("one address, and behind it two servers, is noticed before anything is prepared", async (v) => {
    const second = await startMariaDB({ after: (what) => cleanUp.push(what) });
    const there = createPool({ uri: await second.say("new") });
    const here = v.made[0].pool;
    const real = here.getConnection;
    let turn = 0;
    here.getConnection = () => ((turn += 1) % 2 ? real() : there.getConnection());
    const reply = await v.say(Operation.PREPARE);
    assert.deepEqual([reply.kind, /two servers/.test(reply.reason)], [Kind.RETRY_LATER, true], reply.reason);
    here.getConnection = real;
    await there.end();
    assert.deepEqual([await v.coins(), await v.prepared()], [100, 0]);
  });

  // Of ten connections, five may be an operation's first; one is left for the service itself.
  check("the pool has a connection for whoever prepares", async (v) => {
    await v.sql("INSERT INTO account VALUES ('0', 1), ('1', 1), ('2', 1), ('3', 1), ('4', 1), ('5', 1), ('6', 1), ('7', 1), ('8', 1), ('9', 1), ('10', 1), ('11', 1)");
    const gids = Array.from({ length: 12 }, (_, n) => `g${n}`);
    const replies = await Promise.all(gids.map((gid) => v.say(Operation.PREPARE, gid, v.db, gid.slice(1))));
    assert.deepEqual(replies.map(({ kind, reason }) => [kind, reason]), gids.map(() => [Kind.DONE, ""]));
    await until("those that are too many have ended", async () => (await Promise.all(gids.map(v.worker))).filter((worker) => worker !== null).length === 4);
    for (const gid of gids) assert.equal((await v.say(Operation.COMMIT, gid, v.db, gid.slice(1))).kind, Kind.DONE);
    assert.deepEqual([await v.prepared(), Number((await v.sql("SELECT sum(coins) AS sum FROM account WHERE name <> 'ann'"))[0].sum)], [0, 0]);
  });

  test("of sessions that are too many the oldest ends", () => {
    const ended = [];
    const sessions = new XaSessions(1000);
    const branch = (n) => ({ gid: `g${n}`, branchId: "1" });
    for (let n = 0; n <= MAX_KEPT_SESSIONS; n += 1) sessions.keep(branch(n), { release: (broken) => ended.push([n, broken]) });
    assert.deepEqual(ended, [[0, true]]);
    assert.equal(sessions.take(branch(0)), undefined);
    assert.ok(sessions.take(branch(1)));
    sessions.close();
    assert.equal(ended.length, MAX_KEPT_SESSIONS);
  });
});

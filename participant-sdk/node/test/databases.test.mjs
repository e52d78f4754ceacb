// The adapters against real databases: the contract, two-phase commit, kill -9 of the server, deadlocks, what a COMMIT that failed is, and
// handlers that do what they should not.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import pg from "pg";
import * as assent from "assent-sdk";
import { checkContract } from "assent-sdk/testkit";
import { Kept } from "../dist/barrier.js";
import { asker, bank, InMariaDB, InPostgreSQL, InSQLite, text } from "./bank.mjs";
import { folder, freePort, startMariaDB, startPostgres, until } from "./rig.mjs";

const { Kind, Operation, Protocol, Verdict } = assent;

for (const kind of [new InPostgreSQL(), new InMariaDB()]) {
  describe(kind.name, () => {
    const say = asker(kind);
    const coins = async (name = "ann") => Number((await kind.sql(`SELECT coins FROM account WHERE name = '${name}'`))[0].coins);
    const cleanUp = [];
    before(async () => {
      kind.server = await kind.start({ after: (what) => cleanUp.push(what) });
    });
    after(async () => {
      for (const what of cleanUp) await what();
    });
    const check = (what, work) => test(what, async (t) => {
      if (!kind.server) return t.skip(`no ${kind.name} is installed`);
      await kind.open();
      try {
        await work(t);
      } finally {
        await kind.close();
      }
    });

    check("the contract, and the books", async () => {
      for (const protocol of [Protocol.TWO_PHASE, Protocol.TCC, Protocol.SAGA]) {
        const had = await coins();
        const report = await checkContract(kind.db, { protocol, action: "take", payload: "ann" });
        assert.ok(report.ok, String(report));
        assert.equal(await coins(), had - report.committed, Protocol[protocol]);
      }
      assert.equal(await kind.prepared(), 0);
      assert.deepEqual(await kind.sql("SELECT * FROM assent_marker"), []);
    });

    check("prepared work survives kill -9 of the server, unseen, and ends as it is told", async () => {
      const first = await say(Operation.PREPARE, { coordinatorId: 7, beganEpoch: 2n ** 64n - 1n });
      assert.deepEqual([first.kind, text(first), await coins(), await kind.prepared()], [Kind.DONE, "PREPARE ann", 100, 1]);
      await kind.server.say("kill");
      await kind.server.say("start");
      await until("the pool has a connection again", () => coins().catch(() => false));
      const again = await until("the adapter has a connection again", () => say(Operation.PREPARE).then((reply) => reply.kind === Kind.DONE && reply));
      assert.deepEqual([text(again), await coins(), await kind.prepared()], ["PREPARE ann", 100, 1]);
      const [held] = await kind.db.questions(10);
      assert.deepEqual(held, { gid: "g1", branchId: "1", coordinatorId: 7, beganEpoch: 2n ** 64n - 1n });
      await kind.db.answer(held, Verdict.UNDECIDED, false);
      await kind.db.answer(held, Verdict.CANNOT_TELL, false);
      assert.equal(await kind.prepared(), 1);
      await kind.db.answer(held, Verdict.COMMIT, false);
      assert.deepEqual([await coins(), await kind.prepared(), await kind.db.questions(10)], [99, 0, []]);
      assert.equal((await say(Operation.COMMIT)).kind, Kind.DONE);
      assert.equal((await say(Operation.ROLLBACK)).reason, "already committed");
      assert.equal(await coins(), 99);
    });

    check("one phase, read only and refused leave nothing prepared", async () => {
      assert.equal((await say(Operation.PREPARE, { onePhase: true })).kind, Kind.DONE);
      assert.deepEqual([await coins(), await kind.prepared()], [99, 0]);
      assert.equal((await say(Operation.ROLLBACK)).kind, Kind.REFUSED);
      for (let time = 0; time < 2; time += 1) assert.equal((await say(Operation.PREPARE, { action: "refuse", gid: "g2" })).reason, "no coins");
      assert.deepEqual([await coins(), await kind.prepared()], [99, 0]);
      if (kind.name === "MariaDB") return; // it does not say whether something was written
      assert.equal((await say(Operation.PREPARE, { action: "look", gid: "g3" })).kind, Kind.DONE_READ_ONLY);
      assert.equal(await kind.prepared(), 0);
    });

    // Killed between PREPARE and the row that says so: nobody was told, and an undo that comes has to find it.
    check("what was prepared and promised to nobody goes", async () => {
      for (const [gid, operation] of [["g1", Operation.ROLLBACK], ["g2", Operation.PREPARE]]) {
        await say(Operation.PREPARE, { gid });
        await kind.sql(`DELETE FROM assent_barrier WHERE gid = '${gid}'`);
        assert.equal((await say(operation, { gid })).kind, Kind.DONE);
        assert.equal(await coins(), 100);
      }
      assert.equal(await kind.prepared(), 1); // g2's, once
      assert.equal((await say(Operation.COMMIT, { gid: "g2" })).kind, Kind.DONE);
      assert.deepEqual([await coins(), await kind.prepared()], [99, 0]);
    });

    check("killed between the commit and its row", async () => {
      await say(Operation.PREPARE);
      await say(Operation.COMMIT);
      await kind.sql(`UPDATE assent_barrier SET state = ${Kept.PREPARED}`);
      await kind.sql("INSERT INTO assent_marker VALUES ('g1', '1')");
      assert.equal((await say(Operation.COMMIT)).kind, Kind.DONE);
      assert.equal(await coins(), 99);
    });

    check("prepared work that somebody has taken away is a hazard", async () => {
      await say(Operation.PREPARE);
      await kind.takeAway("g1", "1");
      const reply = await say(Operation.COMMIT);
      assert.equal(reply.kind, Kind.REFUSED);
      assert.match(reply.reason, /^HAZARD: its prepared work is gone/);
    });

    // The server is killed while it commits: nobody can say, and the next asking finds what there is.
    check("a lost answer to COMMIT is never a no", async () => {
      const real = kind.db.commit.bind(kind.db);
      kind.db.commit = async (connection) => {
        await real(connection);
        throw new assent.Unknown("the answer to a COMMIT was lost");
      };
      assert.equal((await say(Operation.TRY)).kind, Kind.UNKNOWN);
      kind.db.commit = async (connection) => {
        await kind.server.say("kill");
        await real(connection);
      };
      assert.equal((await say(Operation.TRY, { gid: "g2" })).kind, Kind.UNKNOWN);
      await kind.server.say("start");
      kind.db.commit = real;
      await until("the pool has a connection again", () => coins().catch(() => false));
      assert.equal(text(await until("it answers", () => say(Operation.TRY).then((reply) => reply.kind === Kind.DONE && reply))), "TRY ann");
      assert.equal(await coins(), 99);
      assert.equal((await say(Operation.TRY, { gid: "g2" })).kind, Kind.DONE);
      assert.equal(await coins(), 98);
    });

    check("deadlocks are run again", async () => {
      const both = (gid, names) => say(Operation.PREPARE, { action: "both", gid, payload: JSON.stringify(names), onePhase: true });
      const replies = await Promise.all([both("d1", ["ann", "bob"]), both("d2", ["bob", "ann"])]);
      assert.deepEqual(replies.map((reply) => reply.kind), [Kind.DONE, Kind.DONE], replies.map((reply) => reply.reason).join());
      assert.deepEqual([await coins("ann"), await coins("bob")], [98, 98]);
    });

    // Two processes that share the database know nothing of each other.
    check("two processes at one branch", async () => {
      const other = kind.adapter();
      await other.start();
      for (let round = 0; round < 10; round += 1) {
        const gid = `round-${round}`;
        const until_done = (operation, db) => until("it is done", async () => (await say(operation, { gid, db })).kind === Kind.DONE);
        await Promise.all([kind.db, other, kind.db, other].map((db) => until_done(Operation.TRY, db)));
        assert.equal(await coins(), 99);
        await Promise.all([kind.db, other].map((db) => until_done(Operation.CANCEL, db)));
        assert.equal(await coins(), 100);
      }
    });

    check("a statement that is not awaited is a failure, and undone", async () => {
      const reply = await say(Operation.ACTION, { action: "forget" });
      assert.deepEqual([reply.kind, await coins()], [Kind.RETRY_LATER, 100]);
      assert.match(reply.reason, /before 1 of its statements were answered: await them/);
    });

    everyDatabase(kind, check, say, coins);

    check("nobody there is said", async () => {
      const url = kind.url.replace(/:\d+\//, `:${await freePort()}/`);
      const pool = kind.makePool(url);
      await assert.rejects(bank(new kind.Adapter(pool)).start(), (error) => error instanceof assent.ConfigError && /cannot be used: .*ECONNREFUSED/s.test(error.message));
      await pool.end();
    });
  });
}

/** What holds with SQLite as well. */
function everyDatabase(kind, check, say, coins) {
  check("a handler does not end its transaction, nor goes on after it", async () => {
    for (const payload of ["COMMIT", " rollback", "START TRANSACTION", "BEGIN", "/* done */ COMMIT", "-- done\n;COMMIT", ...kind.ends]) {
      const reply = await say(Operation.ACTION, { action: "run", payload });
      assert.equal(reply.kind, Kind.RETRY_LATER, payload);
      assert.match(reply.reason, /is not for a handler/);
    }
    assert.equal((await say(Operation.ACTION, { action: "linger", gid: "g2" })).kind, Kind.DONE);
    assert.match((await kind.db.lingering).message, /its transaction is over/);
    assert.equal(await coins(), 100);
  });

  check("rows are read, and a refusal leaves nothing but itself", async () => {
    const payload = "SELECT name FROM account WHERE name = 'ann'";
    assert.equal(text(await say(Operation.ACTION, { action: "get", payload })), JSON.stringify([{ name: "ann" }, { name: "ann" }]));
    for (let time = 0; time < 2; time += 1) assert.equal((await say(Operation.TRY, { action: "refuse", gid: "g2" })).reason, "no coins");
    assert.equal(await coins(), 100);
    assert.equal((await say(Operation.CANCEL, { action: "refuse", gid: "g2" })).kind, Kind.DONE);
  });

  check("old rows go when the coordinator says that it is over, and an orphan stays", async () => {
    await say(Operation.TRY, { coordinatorId: 7, beganEpoch: 2n ** 53n + 1n });
    await say(Operation.TRY, { gid: "g2" });
    await say(Operation.CONFIRM, { gid: "g2" });
    assert.deepEqual(await kind.db.questions(10), [], "nothing is old");
    const old = kind.adapter({ retentionMs: -1000 });
    await old.start();
    const held = await old.questions(10);
    assert.deepEqual(held.map(({ gid }) => gid).sort(), ["g1", "g2"]);
    assert.deepEqual(held.find(({ gid }) => gid === "g1"), { gid: "g1", branchId: "1", coordinatorId: 7, beganEpoch: 2n ** 53n + 1n });
    for (const one of held) await old.answer(one, Verdict.CANNOT_TELL, true);
    assert.equal((await kind.sql("SELECT gid FROM assent_barrier")).length, 2);
    for (const one of held) await old.answer(one, Verdict.COMMIT, true);
    assert.deepEqual((await kind.sql("SELECT gid, orphan FROM assent_barrier")).map((row) => ({ ...row })), [{ gid: "g1", orphan: 1 }]);
    assert.deepEqual(await old.questions(10), [], "a person is asked, not the coordinator");
    await old.close();
  });
}

describe("MariaDB alone", () => {
  const kind = new InMariaDB();
  const say = asker(kind);
  const cleanUp = [];
  after(async () => {
    for (const what of cleanUp) await what();
  });
  test("who goes on after a deadlock has written nothing", async (t) => {
    kind.server = await startMariaDB({ after: (what) => cleanUp.push(what) });
    if (!kind.server) return t.skip("no MariaDB is installed");
    await kind.open();
    const payload = JSON.stringify(["UPDATE account SET coins = coins - 1 WHERE name = 'ann'", "UPDATE account SET coins = coins - 1 WHERE name = 'bob'",
      "INSERT INTO account VALUES ('went on', 1)"]);
    for (const gid of ["g1", "no1"]) {
      const heavier = await kind.pool.getConnection();
      await heavier.query("START TRANSACTION");
      for (let at = 0; at < 100; at += 1) await heavier.query(`INSERT INTO account VALUES ('${at}', 1)`); // the lighter one is the victim
      await heavier.query("SELECT * FROM account WHERE name = 'bob' FOR UPDATE");
      const asked = say(Operation.ACTION, { action: "stubborn", gid, payload });
      await until("it waits", async () => (await kind.sql("SELECT 1 FROM information_schema.processlist WHERE info LIKE 'UPDATE%bob%'")).length > 0);
      await heavier.query("SELECT * FROM account WHERE name = 'ann' FOR UPDATE");
      await heavier.query("ROLLBACK");
      heavier.release();
      const reply = await asked;
      assert.equal(reply.kind, Kind.RETRY_LATER, reply.reason);
      assert.match(reply.reason, /the handler's transaction is gone: an error has rolled it back/);
      assert.equal((await say(Operation.COMPENSATE, { action: "stubborn", gid })).kind, Kind.DONE);
      assert.deepEqual((await kind.sql("SELECT name, coins FROM account")).map((row) => ({ ...row })), [{ name: "ann", coins: 100 }, { name: "bob", coins: 100 }]);
    }
    await kind.close();
  });
});

describe("PostgreSQL alone", () => {
  const kind = new InPostgreSQL();
  const say = asker(kind);
  const cleanUp = [];
  after(async () => {
    for (const what of cleanUp) await what();
  });
  test("with a server of its own", async (t) => {
    kind.server = await startPostgres({ after: (what) => cleanUp.push(what) });
    if (!kind.server) return t.skip("no PostgreSQL is installed");
    await kind.open();
    // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and the driver says nothing.
    await t.test("going on after an error is not taken for done", async () => {
      assert.equal((await say(Operation.ACTION, { action: "swallow" })).kind, Kind.RETRY_LATER);
      assert.deepEqual(await kind.sql("SELECT 1 FROM account WHERE name = 'swallowed'"), []);
    });
    await t.test("older ones are not kept waiting by younger ones that are prepared", async () => {
      const usual = kind.db;
      kind.db = kind.adapter({ lockTimeoutMs: 60_000 }); // nobody is told by it
      await kind.db.start();
      const at = (gid, beganUnixMs, coordinatorId = 7, branch = "1") => say(Operation.PREPARE, { gid, beganUnixMs, coordinatorId, branch });
      await at("younger", 2000);
      const begun = performance.now();
      const older = await at("older", 1000);
      assert.deepEqual([older.kind, older.blockedBy], [Kind.RETRY_LATER, "younger"], older.reason);
      assert.ok(performance.now() - begun < 30_000);
      const ofAnother = await at("of-another", 1000, 8);
      assert.equal(ofAnother.kind, Kind.REFUSED);
      assert.match(ofAnother.reason, /younger, and of coordinator 7/);
      assert.match((await at("younger", 2000, 7, "2")).reason, /of this same transaction/);
      // Who waits for one that has what he wants, and waits for a younger one itself.
      const waiting = say(Operation.PREPARE, { gid: "youngest", beganUnixMs: 3000, coordinatorId: 7, action: "both", payload: JSON.stringify(["bob", "ann"]) });
      await until("it waits", async () => (await kind.sql("SELECT 1 FROM pg_locks WHERE NOT granted")).length > 0);
      const behind = await say(Operation.PREPARE, { gid: "older", beganUnixMs: 1000, coordinatorId: 7, payload: "bob" });
      assert.deepEqual([behind.kind, behind.blockedBy], [Kind.RETRY_LATER, "younger"], behind.reason);
      await say(Operation.ROLLBACK, { gid: "younger" });
      assert.equal((await waiting).kind, Kind.DONE);
      await kind.db.close();
      kind.db = usual;
    });
    await kind.close();
  });
  test("a server that keeps nothing prepared is said", async (t) => {
    const server = await startPostgres(t, { max_prepared_transactions: "0" });
    if (!server) return t.skip("no PostgreSQL is installed");
    const pool = new pg.Pool({ connectionString: await server.say("new") });
    await assert.rejects(bank(new assent.PostgreSQL(pool), "$1").start(), /set max_prepared_transactions in postgresql.conf/);
    assert.throws(() => new assent.PostgreSQL(new pg.Pool({ max: 1 })), /needs at least 2/);
    await pool.end();
  });
});

describe("SQLite", () => {
  const kind = new InSQLite();
  const say = asker(kind);
  const coins = async (name = "ann") => (await kind.sql(`SELECT coins FROM account WHERE name = '${name}'`))[0].coins;
  const check = (what, work) => test(what, async (t) => {
    await kind.open(t);
    try {
      await work(t);
    } finally {
      await kind.close();
    }
  });

  everyDatabase(kind, check, say, coins);

  check("the contract, and the books", async () => {
    for (const protocol of [Protocol.TCC, Protocol.SAGA]) {
      const had = await coins();
      const report = await checkContract(kind.db, { protocol, action: "take", payload: "ann" });
      assert.ok(report.ok, String(report));
      assert.equal(await coins(), had - report.committed);
    }
  });

  check("operations at once share a commit, and one that fails takes no other with it", async () => {
    let commits = 0;
    const real = kind.db.commit.bind(kind.db);
    kind.db.commit = () => ((commits += 1), real());
    const asked = Array.from({ length: 40 }, (_, at) => (at === 20 ? say(Operation.ACTION, { action: "run", gid: "bad", payload: "SELECT 1 FROM nothing" }) : say(Operation.TRY, { gid: `g${at}` })));
    const kinds = (await Promise.all(asked)).map((reply) => reply.kind);
    assert.deepEqual([kinds.filter((one) => one === Kind.DONE).length, kinds[20], await coins()], [39, Kind.RETRY_LATER, 61]);
    assert.ok(commits < 10, `${commits} commits`);
  });

  check("a constraint that is only seen by COMMIT fails the one operation", async () => {
    await kind.sql("CREATE TABLE child(name TEXT REFERENCES account(name) DEFERRABLE INITIALLY DEFERRED)");
    const [bad, good] = await Promise.all([say(Operation.ACTION, { action: "run", gid: "bad", payload: "INSERT INTO child VALUES ('nobody')" }), say(Operation.TRY)]);
    assert.deepEqual([bad.kind, good.kind, await coins()], [Kind.RETRY_LATER, Kind.DONE, 99]);
    assert.match(bad.reason, /FOREIGN KEY/);
  });

  check("a COMMIT that failed otherwise leaves everything unknown until the next start", async () => {
    const real = kind.db.commit.bind(kind.db);
    kind.db.commit = () => {
      real();
      throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_FSYNC" });
    };
    assert.equal((await say(Operation.TRY)).kind, Kind.UNKNOWN);
    kind.db.commit = real;
    const after = await say(Operation.TRY);
    assert.deepEqual([after.kind, /restart this process/.test(after.reason)], [Kind.UNKNOWN, true]);
    await assert.rejects(kind.db.transaction(() => 1), /restart this process/);
    const next = kind.adapter();
    assert.equal(text(await say(Operation.TRY, { db: next })), "TRY ann");
    assert.equal(await coins(), 99);
  });

  check("who goes on after an error that rolls back has written nothing", async () => {
    const payload = JSON.stringify(["UPDATE account SET coins = 1", "INSERT OR ROLLBACK INTO account VALUES ('ann', 2)", "UPDATE account SET coins = 3"]);
    for (const gid of ["g1", "no1"]) {
      const reply = await say(Operation.ACTION, { action: "stubborn", gid, payload });
      assert.deepEqual([reply.kind, await coins()], [Kind.RETRY_LATER, 100], reply.reason);
      assert.deepEqual([(await say(Operation.COMPENSATE, { action: "stubborn", gid })).kind, await coins()], [Kind.DONE, 100]);
    }
  });

  check("another process that writes is waited for, and nothing else stands still meanwhile", async () => {
    const other = new Database(kind.path);
    other.exec("BEGIN IMMEDIATE");
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 5);
    const waiting = say(Operation.TRY);
    await sleep(200); // as long as the other one takes
    other.exec("COMMIT");
    other.close();
    assert.equal((await waiting).kind, Kind.DONE);
    clearInterval(timer);
    assert.ok(turns > 10, `${turns} turns`);
    const impatient = kind.adapter({ busyTimeoutMs: 30 });
    await impatient.start();
    const again = new Database(kind.path);
    again.exec("BEGIN IMMEDIATE");
    const reply = await say(Operation.TRY, { gid: "g2", db: impatient });
    again.exec("COMMIT");
    again.close();
    assert.equal(reply.kind, Kind.RETRY_LATER);
    assert.match(reply.reason, /locked/);
  });

  check("the service's own work is a transaction, and a handler has its own", async () => {
    assert.equal(await kind.db.transaction((tx) => tx.get("SELECT coins FROM account WHERE name = ?", ["ann"]).coins), 100);
    await assert.rejects(kind.db.transaction((tx) => {
      tx.run("UPDATE account SET coins = 0");
      throw new Error("no");
    }), /^Error: no$/);
    assert.equal(await coins(), 100);
    const nested = new assent.SQLite(kind.path);
    nested.saga("nested", () => nested.transaction(() => undefined));
    kind.opened.push(nested);
    assert.match((await say(Operation.ACTION, { action: "nested", db: nested })).reason, /a handler has its own tx/);
  });

  check("files that cannot be used say so", async (t) => {
    await assert.rejects(new assent.SQLite(join(folder(t), "no/such/folder/x.db")).start(), assent.ConfigError);
    await kind.sql("CREATE TABLE assent_meta(x)");
    await assert.rejects(new assent.SQLite(kind.path).start(), /kept by the C\+\+ adapter/);
  });
});

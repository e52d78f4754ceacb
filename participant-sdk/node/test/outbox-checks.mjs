// The tests of the outbox against a real database and a real assentd; each kind of database has a file that runs them. What is committed starts,
// what is rolled back does not; kills of relays, of the database and of the coordinator; the order of a key; rows that somebody has edited;
// rows of another language.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createConnection as plainConnection, createPool as plainPool } from "mysql2";
import * as assent from "assent-sdk";
import { canSkipLocked } from "../dist/outbox-sql.js";
import { NOT_YET, now } from "../dist/relay.js";
import { EVERYTHING } from "./outbox-rig.mjs";
import { Daemon, ROOT, until } from "./rig.mjs";

const PUBLISH = `
import json, os, sys, assent
kind, where, gids = sys.argv[1], os.environ["OUTBOX_DATABASE"], sys.argv[2:]
if kind == "SQLite":
    import sqlite3; connection = sqlite3.connect(where)
elif kind == "PostgreSQL":
    import psycopg; connection = psycopg.connect(where)
else:
    import pymysql; connection = pymysql.connect(**json.loads(where))
for gid in gids: assent.Outbox().publish(connection, assent.Transaction(gid, labels={"of": "Zoë"}).saga("shop", "ship", gid), key="Zoë")
connection.commit()`;

export function testOutbox(kind) {
  describe(`the outbox in ${kind.name}`, () => {
    const cleanUp = [];
    before(async () => {
      kind.server = await kind.start({ after: (what) => cleanUp.push(what) });
    });
    after(async () => {
      for (const what of cleanUp) await what();
    });
    const check = (what, work, only = kind.name) => test(what, { skip: only !== kind.name }, async (t) => {
      if (!kind.server) return t.skip(`no ${kind.name} is installed`);
      await kind.open(t);
      try {
        await work(t);
      } finally {
        await kind.close();
      }
    });

    // ---- publish

    check("it starts if, and only if, the local transaction commits", async () => {
      await kind.relay();
      let made;
      await kind.transaction(async (connection) => {
        await kind.execute(connection, "INSERT INTO orders VALUES ('a')");
        assert.equal(await kind.outbox.publish(connection, kind.order("kept")), "kept");
        made = await kind.outbox.publish(connection, new assent.Transaction().saga("shop", "ship"));
      });
      await assert.rejects(kind.transaction(async (connection) => {
        await kind.execute(connection, "INSERT INTO orders VALUES ('b')");
        await kind.outbox.publish(connection, kind.order("rolled-back"));
        throw new Error("changed my mind");
      }), /changed my mind/);
      await kind.untilDone("kept", made);
      await kind.untilGone();
      assert.deepEqual((await kind.sql("SELECT name FROM orders")).map(({ name }) => name), ["a"]);
      const client = new assent.Client({ endpoints: kind.daemon.endpoint });
      await assert.rejects(client.get("rolled-back"), assent.NotFound);
      client.close();
    });

    check("what is wrong fails the call and leaves the transaction", async () => {
      await kind.publish(["twice"]);
      const of = (options, branch = {}) => new assent.Transaction(options).saga("shop", "ship", "", branch);
      const many = kind.order("g", Buffer.alloc(1 << 20)).saga("shop", "ship", Buffer.alloc(1 << 20)).saga("shop", "ship", Buffer.alloc(1 << 20)).saga("shop", "ship", "x");
      await kind.transaction(async (connection) => {
        await kind.execute(connection, "INSERT INTO orders VALUES ('a')");
        for (const [bad, key, words] of [
          [new assent.Transaction(), undefined, /at least one/], [kind.order("no good"), undefined, /gid is "no good"/], [kind.order("g"), "", /key is ""/],
          [kind.order("g"), "ö".repeat(65), /key is/], [kind.order("g"), "a\nb", /control characters/], [kind.order("g"), "\ud800", /key is/],
          [many, undefined, /payloads and headers have 3145729 bytes/], [of({ labels: { "a b": "c" } }), undefined, /a key of labels/],
          [of({ labels: { a: "x".repeat(257) } }), undefined, /256 bytes/], [of({ trace: { traceparent: "no", tracestate: "" } }), undefined, /traceparent/],
          [of({}, { headers: { a: "x".repeat(1025) } }), undefined, /1024 bytes/], [of({}, { maxAttempts: -1 }), undefined, /maxAttempts is -1/]]) {
          await assert.rejects(kind.outbox.publish(connection, bad, { key }), (error) => error instanceof assent.InvalidArgument && words.test(error.message), String(words));
        }
        await assert.rejects(kind.outbox.publish(connection, kind.order("twice")), assent.AlreadyExists);
        await kind.outbox.publish(connection, kind.order("good"), { key: "Zoë & sons" });
      });
      assert.equal((await kind.sql("SELECT name FROM orders")).length, 1);
      const rows = await kind.outbox.list();
      assert.deepEqual(rows.map(({ gid, key, kind: number, attempts, firstAttempt, parkedReason }) => [gid, key, number, attempts, firstAttempt, parkedReason]),
        [["twice", undefined, 1, 0, undefined, ""], ["good", "Zoë & sons", 1, 0, undefined, ""]]);
      assert.ok(Math.abs(rows[0].created - Date.now()) < 60_000);
    });

    check("without a transaction it is refused, and nothing is written", async () => {
      const connection = await kind.connect();
      await assert.rejects(kind.outbox.publish(connection, kind.order("alone")), assent.FailedPrecondition);
      await assert.rejects(kind.outbox.publish(connection, kind.order("alone")), /no transaction is open/);
      assert.deepEqual(await kind.waits(), []);
      await kind.execute(connection, "BEGIN");
      await kind.outbox.publish(connection, kind.order("within"));
      await kind.execute(connection, "COMMIT");
      await assert.rejects(kind.outbox.publish(connection, kind.order("alone")), /no transaction is open/);
      await kind.disconnect(connection);
      assert.deepEqual(await kind.waits(), ["within"]);
      for (const bad of [undefined, {}, kind.where]) await assert.rejects(async () => await kind.outbox.publish(bad, kind.order("g")), assent.InvalidArgument);
    });

    check("too many that wait are told to who makes more", async () => {
      const few = kind.newOutbox({ maxWaitingCount: 3 });
      await kind.publish(["a", "b", "c"], { outbox: few });
      few.forgetCount();
      await assert.rejects(kind.publish(["d"], { outbox: few }), (error) => error instanceof assent.RetryLater && /3 rows of assent_outbox wait/.test(error.message));
      await assert.rejects(kind.publish(["e"], { outbox: few }), assent.RetryLater); // as it was last counted
      await kind.outbox.drop("a");
      few.forgetCount();
      await kind.publish(["f"], { outbox: few });
      await kind.publish(["g"], { outbox: kind.newOutbox({ maxWaitingCount: 0 }) });
      assert.deepEqual(await kind.waits(), ["b", "c", "f", "g"]);
    });

    // Once, whatever the coordinator repeats; what a handler refuses publishes nothing.
    check("in a handler", async () => {
      const db = kind.adapter();
      db.saga("sell", async (tx, call) => {
        if (kind.name === "SQLite") kind.outbox.publishSync(tx, kind.order(`${call.gid}-ship`), { key: "k" });
        else await kind.outbox.publish(tx, kind.order(`${call.gid}-ship`), { key: "k" });
        if (call.text === "refuse") throw new assent.Refused("no");
      });
      db.twoPhase?.("sell", { prepare: async (tx, call) => void (await kind.outbox.publish(tx, kind.order(`${call.gid}-ship`))) });
      const till = new assent.Participant(new assent.Service("till", db), { endpoints: kind.daemon.endpoint, log: () => undefined });
      await till.start();
      kind.stops.push(() => till.stop());
      await till.waitConnected();
      await kind.relay();
      const client = new assent.Client({ endpoints: kind.daemon.endpoint, wait: assent.WaitFor.COMPLETED });
      kind.stops.push(() => client.close());
      assert.ok((await client.submit(new assent.Transaction({ gid: "s1" }).saga("till", "sell", "ann"))).committed);
      assert.ok((await client.submit(new assent.Transaction({ gid: "s2" }).saga("till", "sell", "refuse"))).aborted);
      await kind.untilDone("s1-ship");
      if (db.twoPhase) {
        // What is published in a PREPARE starts when its branch is committed, and not if that is rolled back.
        const both = (gid, then) => new assent.Transaction({ gid }).twoPhase("till", "sell", "", { id: "1" }).saga("shop", then, "", { id: "2", after: ["1"] });
        assert.ok((await client.submit(both("p1", "ship"))).committed);
        assert.ok((await client.submit(both("p2", "refuse"))).aborted);
        await kind.untilDone("s1-ship", "p1", "p1-ship");
      }
      await kind.untilGone();
    });

    check("at once, in a transaction of better-sqlite3", async () => {
      const db = kind.connect();
      const order = db.transaction((gid) => {
        db.prepare("INSERT INTO orders VALUES (?)").run(gid);
        kind.outbox.publishSync(db, kind.order(gid));
      });
      order("a");
      assert.throws(() => order("a"), /UNIQUE/);
      assert.throws(() => kind.outbox.publishSync(db, kind.order("b")), assent.FailedPrecondition);
      db.close();
      assert.deepEqual(await kind.waits(), ["a"]);
    }, "SQLite");

    check("connections that are others", async () => {
      const [first, second] = [await kind.connect(), await kind.connect()];
      for (const [gid, client] of [["g0", first], ["g1", second]]) {
        await client.query("BEGIN ISOLATION LEVEL SERIALIZABLE");
        await kind.newOutbox().publish(client, kind.order(gid));
      }
      await first.query("COMMIT"); // counting stands in nobody's way
      await second.query("COMMIT");
      assert.throws(() => kind.outbox.publishSync(first, kind.order("g")), assent.InvalidArgument);
      await Promise.all([first.end(), second.end()]);
      assert.deepEqual(await kind.waits(), ["g0", "g1"]);
    }, "PostgreSQL");

    check("connections that are others", async () => {
      const plain = plainConnection({ uri: kind.url });
      await assert.rejects(kind.outbox.publish(plain, kind.order("g")), assent.InvalidArgument);
      await assert.rejects(kind.outbox.publish(plainPool({ uri: kind.url }), kind.order("g")), assent.InvalidArgument);
      await plain.promise().query("SET autocommit = 0");
      await kind.outbox.publish(plain.promise(), kind.order("a"));
      await plain.promise().query("COMMIT");
      await plain.promise().end();
      assert.deepEqual(await kind.waits(), ["a"]);
      assert.deepEqual(["10.5.19-MariaDB", "10.11.6-MariaDB-0+deb12u1", "8.0.36", "5.7.44"].map(canSkipLocked), [false, true, true, false]);
    }, "MariaDB");

    // ---- the relay

    check("payloads of zero bytes and of the limit, and what wakes it", async () => {
      const relay = await kind.relay({ pollMs: 3_600_000 });
      await until("it has looked", () => relay.stats().table);
      await kind.transaction(async (connection) => {
        await kind.outbox.publish(connection, kind.order("empty"));
        await kind.outbox.publish(connection, kind.order("great", Buffer.alloc(1 << 20, "z")).saga("shop", "ship", Buffer.alloc((1 << 20) - 100, "z")).saga("shop", "ship", Buffer.alloc(1 << 20)));
      });
      if (kind.name !== "PostgreSQL") relay.wake(); // which tells it by itself
      await until("all is done", () => kind.shop.done.length === 4);
      await kind.untilGone();
    });

    check("killed between submit and delete", async () => {
      const relay = kind.process("answered");
      await kind.publish(["a", "b"]);
      assert.equal(await relay.ended, "SIGKILL", relay.output);
      await until("something is done", () => kind.shop.done.length > 0);
      assert.deepEqual((await kind.outbox.list()).map(({ gid, attempts, firstAttempt }) => [gid, attempts > 0, firstAttempt instanceof Date]), [["a", true, true], ["b", true, true]]);
      await kind.relay(); // takes them when their lease has ended
      await kind.untilGone();
      await kind.untilDone("a", "b");
    });

    check("two at once share, and each is done once", async () => {
      const gids = Array.from({ length: 400 }, (_, n) => `g${n}`);
      const relays = [await kind.relay({ batch: 8, pollMs: 10 }), await kind.relay({ batch: 8, pollMs: 10 })];
      for (let at = 0; at < 400; at += 50) await kind.publish(gids.slice(at, at + 50));
      await kind.untilGone();
      await kind.untilDone(...gids);
      assert.equal(relays.reduce((sum, relay) => sum + relay.stats().handedOver, 0), 400);
    });

    // 200 of one key, and as many of none; one relay is of Node, the other of Python, and both are killed by turns.
    check("the order of a key, through kills, by relays of two languages", async () => {
      const makers = [() => kind.process(), () => kind.python("", join(ROOT, "tests/sdk_python/outbox_relay.py"), "--database", kind.name.toLowerCase())];
      const relays = [await makers[0](), await makers[1]()];
      const [keyed, others] = ["k", "o"].map((letter) => Array.from({ length: 200 }, (_, n) => `${letter}${n}`));
      for (let at = 0; at < 200; at += 20) {
        await kind.publish(keyed.slice(at, at + 20), { key: "Zoë" });
        await kind.publish(others.slice(at, at + 20));
      }
      for (let kill = 0; kill < 4; kill += 1) {
        await until("it goes on", async () => kind.shop.done.length >= 60 * (kill + 1) || (await kind.waits()).length === 0);
        await relays[kill % 2].kill();
        relays[kill % 2] = await makers[kill % 2]();
      }
      await kind.untilGone();
      await kind.untilDone(...keyed, ...others);
      assert.deepEqual(kind.shop.done.filter((gid) => gid.startsWith("k")), keyed);
      for (const relay of relays) assert.equal(await relay.kill("SIGTERM"), 0, relay.output);
    });

    check("rows of Python, and rows for it", async () => {
      const wrote = await kind.python(PUBLISH, kind.name, "p1", "p2");
      assert.equal(await wrote.ended, 0, wrote.output);
      assert.deepEqual((await kind.outbox.list()).map(({ gid, key, requestBytes }) => [gid, key, requestBytes > 0]), [["p1", "Zoë", true], ["p2", "Zoë", true]]);
      await kind.publish(["n1"], { key: "Zoë" }); // after both
      const relay = await kind.relay();
      await kind.untilGone();
      assert.deepEqual(kind.shop.done, ["p1", "p2", "n1"]);
      await relay.stop();
      await kind.publish(["n2", "n3"], { key: "Zoë" });
      await kind.publish(["n4"]);
      const python = await kind.python("", join(ROOT, "tests/sdk_python/outbox_relay.py"), "--database", kind.name.toLowerCase());
      await kind.untilGone();
      assert.deepEqual(kind.shop.done.filter((gid) => gid !== "n4"), ["p1", "p2", "n1", "n2", "n3"]);
      assert.equal(await python.kill("SIGTERM"), 0, python.output);
    });

    check("a key waits for who is before, and nobody else does", async () => {
      kind.shop.isOpen = false;
      const relay = await kind.relay({ callTimeoutMs: 500, leaseMs: 1000 });
      await kind.publish(["k1", "k2"], { key: "ann" });
      await kind.transaction(async (connection) => {
        for (const gid of ["refused", "after"]) await kind.outbox.publish(connection, kind.order(gid, "", "refuse"), { key: "bob" });
      });
      await kind.publish(["o1"]);
      // An abort is an answer. What is accepted and not complete is said so, and holds up its key alone.
      await until("the others have gone", async () => {
        const rows = await kind.outbox.list();
        return rows.length === 2 && rows[0].gid === "k1" && rows[0].lastError === NOT_YET && rows[1].attempts === 0;
      });
      kind.shop.isOpen = true;
      await kind.untilGone();
      assert.deepEqual(kind.shop.done.filter((gid) => gid.startsWith("k")), ["k1", "k2"]);
      assert.equal(relay.stats().failed, 0);
    });

    check("the coordinator is away, and comes back", async (t) => {
      const daemon = await Daemon.start(t);
      await daemon.kill();
      const relay = await kind.relay({ endpoints: daemon.endpoint });
      await kind.publish(["a", "b"]);
      await until("both have failed", () => relay.stats().failed >= 2);
      // Nothing was handed over, so nothing can have been forgotten, however long it is away.
      await until("they are as new", async () => (await kind.outbox.list()).every(({ firstAttempt, lastError }) => !firstAttempt && lastError.startsWith("Unavailable")));
      await daemon.again();
      await kind.untilGone();
    });

    check("the database is away, and comes back", async () => {
      if (kind.name === "SQLite") return;
      await kind.relay();
      await kind.publish(["a"]);
      await kind.untilGone();
      await kind.publish(["b"]);
      await kind.server.say("kill");
      await until("it is said", () => kind.lines.some((line) => line.includes("cannot be read")));
      await kind.server.say("start");
      await until("it is said", () => kind.lines.includes("the outbox can be read again"));
      await kind.publish(["c"]);
      await kind.untilDone("a", "b", "c");
      await kind.untilGone();
    });

    check("a table that somebody has locked", async () => {
      const connection = await kind.connect();
      await kind.publish(["a"]);
      await kind.execute(connection, kind.lock ? "BEGIN" : "BEGIN IMMEDIATE");
      if (kind.lock) await kind.execute(connection, kind.lock);
      await kind.relay();
      await until("it is said", () => kind.lines.some((line) => line.includes("cannot be read")));
      await kind.disconnect(connection);
      await kind.untilDone("a");
      await kind.untilGone();
      assert.ok(kind.lines.includes("the outbox can be read again"));
    });

    check("stopping leaves the rest", async () => {
      kind.shop.isOpen = false;
      const relay = await kind.relay({ stopGraceMs: 200 });
      await kind.publish(["k"], { key: "ann" });
      await kind.publish(["o"]);
      await until("the other one has gone", async () => (await kind.waits()).join() === "k" && relay.stats().inFlight === 1);
      await Promise.all([relay.stop(), relay.stop()]);
      const [row] = await kind.outbox.list();
      assert.match(row.lastError, /stopped/);
      assert.ok(row.firstAttempt);
      await kind.relay();
      kind.shop.isOpen = true;
      await kind.untilGone();
      await kind.untilDone("k", "o");
    });

    // ---- never twice

    check("what may have been forgotten is asked for", async () => {
      const client = new assent.Client({ endpoints: kind.daemon.endpoint });
      await client.submit(kind.order("known"), { wait: assent.WaitFor.COMPLETED });
      client.close();
      await kind.publish(["known", "forgotten", "fresh"]);
      await kind.sql(`UPDATE assent_outbox SET attempts = 1, first_attempt_unix_ms = ${Date.now() - 13 * 3_600_000} WHERE gid <> 'fresh'`);
      const relay = await kind.relay();
      const [row] = await until("one is parked", async () => (await kind.waits()).length === 1 && (await kind.outbox.list({ parkedOnly: true })));
      assert.equal(row.gid, "forgotten");
      assert.match(row.parkedReason, /first handed over 13\.0 h ago: it may have run, and been forgotten/);
      await kind.untilDone("known", "fresh");
      assert.equal(relay.stats().parked, 1);
      await kind.outbox.retry("forgotten"); // a person has looked
      await kind.untilGone();
      await kind.untilDone("known", "fresh", "forgotten");
    });

    check("a relay that stood still says nothing late; an attempt that was none is forgotten", async () => {
      await kind.publish(["a"]);
      const { rows: [row] } = await kind.take();
      assert.deepEqual([row.attempts, row.isFirst], [1, true]);
      const relay = new assent.Relay(kind.outbox, { endpoints: kind.daemon.endpoint });
      const late = await relay.ask(row, now() - 1);
      assert.equal(late.neverSent, true);
      assert.ok((await kind.outbox.list())[0].firstAttempt);
      await kind.take({ settled: [late], room: { plain: 0, keyed: 0, bytes: 0 } });
      assert.equal((await kind.outbox.list())[0].firstAttempt, undefined);
      // Who has taken it since has perhaps handed it over: what an earlier one says does not count.
      const { rows: [again] } = await kind.take({ leaseMs: 0 });
      await kind.take();
      await kind.take({ settled: [{ row: again, laterMs: 0, error: "no connection", neverSent: true }], room: { plain: 0, keyed: 0, bytes: 0 } });
      const [kept] = await kind.outbox.list();
      assert.ok(kept.firstAttempt);
      assert.notEqual(kept.lastError, "no connection");
      await kind.take({ settled: [{ row: again, parked: "no" }], room: { plain: 0, keyed: 0, bytes: 0 } });
      assert.equal((await kind.outbox.list({ parkedOnly: true })).length, 0);
      assert.deepEqual(kind.shop.done, []);
    });

    // ---- people

    check("rows that somebody has edited", async () => {
      await kind.publish(["garbage", "wrong", "empty", "kind", "good", "often"]);
      await kind.publish(["k1", "k2"], { key: "ann" });
      const bytes = (hex) => (kind.name === "PostgreSQL" ? `'\\x${hex}'::bytea` : `X'${hex}'`);
      await kind.sql(`UPDATE assent_outbox SET request = ${bytes("ff00ff")} WHERE gid IN ('garbage', 'k1')`);
      await kind.sql("UPDATE assent_outbox SET gid = 'other' WHERE gid = 'wrong'");
      await kind.sql(`UPDATE assent_outbox SET request = ${bytes("")} WHERE gid = 'empty'`);
      await kind.sql("UPDATE assent_outbox SET kind = 7 WHERE gid = 'kind'");
      await kind.sql("UPDATE assent_outbox SET attempts = -5, last_error = NULL, first_attempt_unix_ms = NULL WHERE gid = 'good'");
      await kind.sql("UPDATE assent_outbox SET attempts = 2147483647 WHERE gid = 'often'");
      const relay = await kind.relay();
      const parked = await until("four are parked", async () => {
        const rows = await kind.outbox.list({ parkedOnly: true });
        return rows.length === 4 && rows;
      });
      const reasons = Object.fromEntries(parked.map(({ gid, parkedReason }) => [gid, parkedReason]));
      assert.match(reasons.garbage, /is no assent\.v1\.SubmitRequest/);
      assert.equal(reasons.other, "its gid is other, that of its request wrong");
      assert.match(reasons.empty, /has no gid/);
      await kind.untilDone("good", "often");
      await until("it has gone", async () => (await kind.waits()).join() === "garbage,other,empty,kind,k1,k2"); // k1 stops its key
      const { waiting, parked: number, unknown, isMore } = await kind.outbox.count();
      assert.deepEqual([waiting, number, unknown, isMore], [2, 4, 1, false]);
      assert.equal((await kind.outbox.count(3)).isMore, true);
      await kind.outbox.drop("k1");
      relay.wake();
      await kind.untilDone("good", "often", "k2");
      await assert.rejects(kind.outbox.drop("k1"), assent.NotFound);
      await assert.rejects(kind.outbox.retry("k1"), assent.NotFound);
      assert.equal(relay.stats().parked, 4);
    });

    check("a gid that the coordinator has with other content", async () => {
      const client = new assent.Client({ endpoints: kind.daemon.endpoint });
      await client.submit(kind.order("mine", "first"));
      client.close();
      await kind.transaction((connection) => kind.outbox.publish(connection, kind.order("mine", "second")));
      await kind.relay();
      await until("it is parked", async () => (await kind.outbox.list())[0].parkedReason.startsWith("AlreadyExists"));
    });

    check("a hundred thousand rows", async () => {
      await kind.fill(100_000);
      const outbox = kind.newOutbox({ maxWaitingCount: 0 });
      await kind.publish(["plain"], { outbox });
      await kind.publish(["k0", "k1"], { key: "zoe", outbox });
      const table = await kind.outbox.openTable();
      let read = 0;
      const query = table.session.query;
      table.session.query = async (...words) => {
        const answer = await query(...words);
        read += answer.rows.length;
        return answer;
      };
      // The first of "ann", whose 99,999 others wait for it; the first of "zoe"; and the only one without a key.
      const { rows } = await table.turn([], EVERYTHING, 60_000);
      assert.deepEqual(rows.map(({ gid }) => gid).sort(), ["h1", "k0", "plain"]);
      assert.ok(read < 300, `${read} rows were read`);
      const next = await table.turn([{ row: rows.find(({ gid }) => gid === "h1") }], EVERYTHING, 60_000);
      assert.deepEqual(next.rows.map(({ gid }) => gid), ["h2"]);
      table.session.end();
      assert.equal((await kind.outbox.count(1000)).isMore, true);
    });

    check("what is taken together has room in memory; settings that cannot be", async () => {
      await kind.transaction(async (connection) => {
        for (let n = 0; n < 4; n += 1) await kind.outbox.publish(connection, kind.order(`g${n}`, "x".repeat(100_000)));
      });
      const gids = async (room) => (await kind.take({ room })).rows.map(({ gid }) => gid);
      assert.deepEqual(await gids({ plain: 100, keyed: 100, bytes: 250_000 }), ["g0", "g1"]);
      assert.deepEqual(await gids({ plain: 100, keyed: 100, bytes: 10 }), ["g2"]); // one alone may be larger
      await kind.sql("UPDATE assent_outbox SET due_unix_ms = 0");
      assert.deepEqual(await gids({ plain: 3, keyed: 0, bytes: 2 ** 30 }), ["g0", "g1", "g2"]);
      for (const settings of [{ batch: 1 }, { leaseMs: 5, callTimeoutMs: 5 }, { pollMs: 0 }, { retentionGuardMs: 0 }]) {
        assert.throws(() => new assent.Relay(kind.outbox, settings), assent.ConfigError);
      }
      assert.throws(() => new assent.Outbox(undefined, { maxWaitingCount: -1 }), assent.ConfigError);
      await assert.rejects(new assent.Outbox().list(), assent.ConfigError);
    });
  });
}

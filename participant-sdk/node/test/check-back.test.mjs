// Messages without an outbox, in every database: what `enlist` writes into a local transaction, what a participant on the same database answers
// when it is asked, and what a real assentd makes of it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as assent from "assent-sdk";
import { ask } from "assent-sdk/testkit";
import { InMariaDB, InPostgreSQL, InSQLite } from "./outbox-rig.mjs";

const { Kind, Operation, Protocol, WaitFor } = assent;
const SECOND_MS = 1000;
const message = (gid, options) => new assent.Transaction({ gid }).checkBack("orders", "placed", options).saga("shop", "ship");

/** What the participant answers that is asked so long after `prepare`. */
const asked = (store, gid, afterMs, operation = Operation.ACTION) =>
  ask(store, { gid, branchId: "1", operation, protocol: Protocol.SAGA, service: "orders", action: "placed", coordinatorId: 7, beganUnixMs: Date.now() - afterMs });

const said = ({ kind, result, reason }) => [kind, Buffer.from(result).toString(), reason];

for (const kind of [new InSQLite(), new InPostgreSQL(), new InMariaDB()]) {
  describe(`messages without an outbox in ${kind.name}`, () => {
    const cleanUp = [];
    let store;
    before(async () => {
      kind.server = await kind.start({ after: (what) => cleanUp.push(what) });
    });
    after(async () => {
      for (const what of cleanUp) await what();
    });

    const check = (what, work, { open = (t) => kind.newDatabase(t), only = [kind.name] } = {}) => test(what, { skip: !only.includes(kind.name) }, async (t) => {
      if (!kind.server) return t.skip(`no ${kind.name} is installed`);
      await open(t);
      store = kind.adapter(kind.name === "SQLite" ? { busyTimeoutMs: 50 } : { lockTimeoutMs: 50 });
      store.saga("placed", assent.checkBack({ patienceMs: 10 * SECOND_MS }));
      await store.start();
      try {
        await work(t);
      } finally {
        await store.close();
        await kind.close();
      }
    });
    const enlisted = (gid) => kind.transaction((connection) => assent.enlist(connection, message(gid)));
    const rolledBack = async (gid) => {
      await assert.rejects(kind.transaction(async (connection) => {
        await assent.enlist(connection, message(gid));
        throw new Error("changed my mind");
      }), /changed my mind/);
    };

    // ---- the adapter alone

    check("what has committed is done", async () => {
      await enlisted("g1");
      assert.equal((await asked(store, "g1", 0)).kind, Kind.DONE);
      assert.deepEqual(said(await asked(store, "g1", 3600 * SECOND_MS)), said(assent.done()));
      const [row] = await kind.sql("SELECT * FROM assent_barrier");
      const { gid, branch_id, protocol, action, state, kind: number, reason, coordinator_id, began_epoch, touched_ms } = row;
      assert.deepEqual([gid, branch_id, protocol, action, state, number, reason, Number(coordinator_id), Number(began_epoch)], ["g1", "1", 3, "placed", 2, 1, "", 0, 0]);
      assert.deepEqual([Buffer.from(row.result).length, Buffer.from(row.second_result).length], [0, 0]);
      assert.ok(Math.abs(Number(touched_ms) - Date.now()) < 60 * SECOND_MS);
    });

    check("what has not committed is later, and then no", async () => {
      await rolledBack("g1");
      assert.equal((await asked(store, "g1", 0)).kind, Kind.RETRY_LATER);
      assert.equal((await asked(store, "g1", 8 * SECOND_MS)).kind, Kind.RETRY_LATER);
      const no = await asked(store, "g1", 11 * SECOND_MS);
      assert.equal(no.kind, Kind.REFUSED);
      assert.deepEqual(said(await asked(store, "g1", 0)), said(no)); // whatever the clocks say then
    });

    check("a no is for good", async () => {
      assert.equal((await asked(store, "g1", 11 * SECOND_MS)).kind, Kind.REFUSED);
      await assert.rejects(enlisted("g1"), (error) => error instanceof assent.FailedPrecondition && /was told no\. Roll back/.test(error.message));
      assert.equal((await asked(store, "g1", 0)).kind, Kind.REFUSED);
      await enlisted("g2");
    });

    check("a no is for good also for who was told to undo it first", async () => {
      assert.equal((await asked(store, "g1", 0, Operation.COMPENSATE)).kind, Kind.DONE);
      await assert.rejects(enlisted("g1"), assent.FailedPrecondition);
    });

    check("one that is under way is neither done nor refused", async () => {
      await kind.transaction(async (connection) => {
        await assent.enlist(connection, message("g1"));
        assert.equal((await asked(store, "g1", 11 * SECOND_MS)).kind, Kind.RETRY_LATER);
      });
      assert.equal((await asked(store, "g1", 11 * SECOND_MS)).kind, Kind.DONE);
    });

    check("one is enlisted once", async () => {
      await enlisted("g1");
      await assert.rejects(enlisted("g1"), assent.AlreadyExists);
      assert.equal((await asked(store, "g1", 0)).kind, Kind.DONE);
    });

    check("without a local transaction it is refused", async () => {
      const connection = await kind.connect();
      await assert.rejects(assent.enlist(connection, message("g1")), (error) => error instanceof assent.FailedPrecondition && /no transaction is open/.test(error.message));
      await kind.disconnect(connection);
      assert.equal((await asked(store, "g1", 0)).kind, Kind.RETRY_LATER);
      for (const bad of [undefined, {}, kind.url]) await assert.rejects(assent.enlist(bad, message("g1")), assent.InvalidArgument);
    });

    check("what does not check back is refused", async () => {
      await kind.transaction(async (connection) => {
        const plain = new assent.Transaction().saga("shop", "ship");
        await assert.rejects(assent.enlist(connection, plain), (error) => error instanceof assent.InvalidArgument && /checkBack/.test(error.message));
        await assert.rejects(assent.enlist(connection, new assent.Transaction()), assent.InvalidArgument);
      });
      const nowhere = new assent.Client({ endpoints: "127.0.0.1:1", timeoutMs: 1 });
      await assert.rejects(nowhere.prepare(new assent.Transaction().saga("shop", "ship")), (error) => error instanceof assent.InvalidArgument && /checkBack/.test(error.message));
      const alone = new assent.Transaction().saga("orders", "placed", "", { checkBack: true });
      await assert.rejects(nowhere.prepare(alone), (error) => error instanceof assent.InvalidArgument && /only the pivot/.test(error.message));
      assert.throws(() => assent.checkBack({ patienceMs: -1 }), assent.ConfigError);
    });

    check("where no adapter has its tables it is said", async () => {
      await kind.sql("DROP TABLE assent_barrier");
      await assert.rejects(enlisted("g1"), (error) => error instanceof assent.FailedPrecondition && /adapter of a participant/.test(error.message));
    });

    // Past the pivot there is only forward: a coordinator never asks for it.
    check("what has committed is not undone", async () => {
      await enlisted("g1");
      assert.equal((await asked(store, "g1", 0, Operation.COMPENSATE)).kind, Kind.REFUSED);
      assert.equal((await asked(store, "g1", 0)).kind, Kind.DONE);
    });

    check("a snapshot from before the no", async () => {
      const connection = await kind.connect();
      await kind.execute(connection, kind.name === "PostgreSQL" ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "START TRANSACTION WITH CONSISTENT SNAPSHOT");
      await kind.execute(connection, "SELECT * FROM assent_barrier");
      assert.equal((await asked(store, "g1", 11 * SECOND_MS)).kind, Kind.REFUSED);
      await assert.rejects(assent.enlist(connection, message("g1")), (error) => error instanceof assent.FailedPrecondition && /was told no/.test(error.message));
      await kind.execute(connection, "ROLLBACK");
      await kind.disconnect(connection);
    }, { only: ["PostgreSQL", "MariaDB"] });

    check("a snapshot from before the no", async () => {
      const connection = kind.connect();
      connection.exec("BEGIN");
      connection.prepare("SELECT * FROM assent_barrier").all();
      assert.equal((await asked(store, "g1", 11 * SECOND_MS)).kind, Kind.REFUSED);
      await assert.rejects(assent.enlist(connection, message("g1")), /database is locked/); // the driver's: this transaction can write nothing any more
      connection.close();
    }, { only: ["SQLite"] });

    check("at once, in a transaction of better-sqlite3, and in one of the adapter's own", async () => {
      const connection = kind.connect();
      connection.transaction(() => assent.enlistSync(connection, message("g1")))();
      assert.throws(() => assent.enlistSync(connection, message("g2")), assent.FailedPrecondition);
      connection.close();
      await store.transaction((tx) => assent.enlistSync(tx, message("g3")));
      assert.deepEqual((await Promise.all(["g1", "g2", "g3"].map((gid) => asked(store, gid, 0)))).map((reply) => reply.kind), [Kind.DONE, Kind.RETRY_LATER, Kind.DONE]);
    }, { only: ["SQLite"] });

    check("in a handler", async () => {
      const other = kind.adapter();
      other.saga("sell", async (tx, call) => {
        await assent.enlist(tx, message(call.text));
        if (call.text === "g2") throw new assent.Refused("no");
      });
      const sell = (gid) => ask(other, { gid: `${gid}-sale`, branchId: "1", operation: Operation.ACTION, protocol: Protocol.SAGA, action: "sell", payload: Buffer.from(gid) });
      assert.deepEqual([(await sell("g1")).kind, (await sell("g2")).kind], [Kind.DONE, Kind.REFUSED]);
      await other.close();
      assert.deepEqual([(await asked(store, "g1", 0)).kind, (await asked(store, "g2", 0)).kind], [Kind.DONE, Kind.RETRY_LATER]);
    });

    check("in a handler whose work is kept prepared", async () => {
      const other = kind.adapter();
      other.twoPhase("sell", { prepare: (tx, call) => assent.enlist(tx, message(call.text)) });
      const sell = (operation, gid) => ask(other, { gid: `${gid}-sale`, branchId: "1", operation, protocol: Protocol.TWO_PHASE, action: "sell", payload: Buffer.from(gid) });
      for (const gid of ["g1", "g2"]) assert.equal((await sell(Operation.PREPARE, gid)).kind, Kind.DONE);
      assert.equal((await asked(store, "g1", 11 * SECOND_MS)).kind, Kind.RETRY_LATER);
      assert.deepEqual([(await sell(Operation.COMMIT, "g1")).kind, (await sell(Operation.ROLLBACK, "g2")).kind], [Kind.DONE, Kind.DONE]);
      await other.close();
      assert.deepEqual([(await asked(store, "g1", 0)).kind, (await asked(store, "g2", 0)).kind], [Kind.DONE, Kind.RETRY_LATER]);
    }, { only: ["PostgreSQL", "MariaDB"] });

    // ---- with a coordinator

    const serve = async (patienceMs) => {
      const db = kind.adapter(kind.name === "SQLite" ? {} : { lockTimeoutMs: 50 });
      db.saga("placed", assent.checkBack({ patienceMs }));
      const orders = new assent.Participant(new assent.Service("orders", db), { endpoints: kind.daemon.endpoint, log: () => undefined });
      await orders.start();
      kind.stops.push(() => orders.stop());
      await orders.waitConnected();
      const client = new assent.Client({ endpoints: kind.daemon.endpoint, wait: WaitFor.COMPLETED });
      kind.stops.push(() => client.close());
      return client;
    };
    const whole = { open: (t) => kind.open(t) };
    const orders = async () => (await kind.sql("SELECT name FROM orders")).map(({ name }) => name);
    const place = (gid, shipping) => kind.transaction(async (connection) => {
      await kind.execute(connection, `INSERT INTO orders VALUES ('${gid}')`);
      await assent.enlist(connection, shipping);
    });

    check("an initiator that is killed between its commit and its submit", async () => {
      const client = await serve(60 * SECOND_MS);
      const initiator = kind.program("check-back-initiator.mjs", "g1", "commit");
      assert.equal(await initiator.ended, "SIGKILL", initiator.output);
      await kind.untilDone("g1");
      assert.ok((await client.wait("g1")).committed);
      assert.deepEqual(await orders(), ["g1"]);
    }, whole);

    check("an initiator that is killed before its commit", async () => {
      const client = await serve(SECOND_MS);
      const initiator = kind.program("check-back-initiator.mjs", "g1", "rollback");
      assert.equal(await initiator.ended, "SIGKILL", initiator.output);
      const report = await client.wait("g1");
      assert.ok(report.aborted);
      assert.match(report.abortReason, /had not committed after 1000 ms, and never will/);
      assert.deepEqual([await orders(), kind.shop.done], [[], []]);
    }, whole);

    check("prepared, and never committed: who comes too late fails", async () => {
      const client = await serve(100);
      const shipping = message("g1", { firstAskedMs: 50 });
      const prepared = await client.prepare(shipping);
      assert.deepEqual([prepared.gid, prepared.outcome], ["g1", assent.Outcome.UNDECIDED]);
      await client.prepare(shipping); // as after a lost answer
      assert.ok((await client.wait("g1")).aborted);
      await assert.rejects(place("g1", shipping), (error) => error instanceof assent.FailedPrecondition && /was told no/.test(error.message));
      assert.deepEqual([await orders(), kind.shop.done], [[], []]);
      assert.ok((await client.submit(shipping)).aborted);
    }, whole);

    // It would be asked by itself in an hour.
    check("enlisted, and submitted at once", async () => {
      const client = await serve(3600 * SECOND_MS);
      const shipping = message("g1", { firstAskedMs: 3600 * SECOND_MS });
      await client.prepare(shipping);
      await place("g1", shipping);
      assert.deepEqual(kind.shop.done, []);
      assert.ok((await client.submit(shipping)).committed);
      await kind.untilDone("g1");
      assert.deepEqual(await orders(), ["g1"]);
    }, whole);
  });
}

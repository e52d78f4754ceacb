// Transfers in two phases between two services; the database server, the services and the coordinator are killed by turns.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { createConnection } from "mysql2/promise";
import pg from "pg";
import * as assent from "assent-sdk";
import { Daemon, HERE, Process, startMariaDB, startPostgres, until } from "./rig.mjs";
import { clientOf } from "./shop.mjs";

const TRANSFERS = 60;
const AT_ONCE = 4;

/** A service in a process of its own, on a database of its own. */
class Bank {
  constructor(t, environment) {
    this.environment = environment;
    t.after(() => this.process.kill());
    this.again();
  }

  again() {
    this.process = new Process(process.execPath, [join(HERE, "example/contract/participant.mjs")], this.environment);
  }

  kill() {
    return this.process.kill();
  }
}

async function booksBalance(t, { start, url: name, accounts, sql, prepared }) {
  const server = await start(t);
  if (!server) return t.skip("no server of this kind is installed");
  const daemon = await Daemon.start(t);
  const urls = { west: await server.say("new"), east: await server.say("new") };
  const banks = Object.entries(urls).map(([service, url]) => new Bank(t, { ASSENT_ENDPOINT: daemon.endpoint, CONTRACT_SERVICE: service, [name]: url, ASSENT_CONTRACT_START: "1" }));
  const client = clientOf(t, { endpoints: daemon.endpoint, wait: assent.WaitFor.COMPLETED, timeoutMs: 60_000, retry: { giveUpAfterMs: 60_000 } });
  const payload = (n, amount) => JSON.stringify({ account: `a${n % accounts}`, amount });
  const settled = (order) => until("it has an outcome", () => client.submit(order).catch((error) => {
    if (!(error instanceof assent.UnknownOutcome || error instanceof assent.Unavailable)) throw error;
  }));
  // A service that is not connected yet is not known, and its first action is refused.
  await until("the accounts are filled", async () => {
    const fill = new assent.Transaction({ gid: assent.newGid(), deadlineMs: 60_000 });
    for (let n = 0; n < accounts; n += 1) fill.saga("west", "add", payload(n, 1000));
    return (await settled(fill)).committed;
  });
  let answered = 0;
  const outcomes = [];
  const worker = async (first) => {
    for (let n = first; n < TRANSFERS; n += AT_ONCE) {
      const order = new assent.Transaction({ gid: `transfer-${n}`, deadlineMs: 40_000 });
      outcomes[n] = await settled(order.twoPhase("west", "add", payload(n, -1)).twoPhase("east", "add", payload(n, 1)));
      answered += 1;
    }
  };
  const workers = Promise.all(Array.from({ length: AT_ONCE }, (_, first) => worker(first)));
  const theServer = { kill: () => server.say("kill"), again: () => server.say("start") };
  for (const [turn, victim] of [banks[0], theServer, daemon, banks[1], theServer].entries()) {
    await until("some are answered", () => answered >= 9 * (turn + 1));
    await victim.kill();
    await victim.again();
  }
  await workers;
  const committed = outcomes.filter((report) => report.committed).length;
  assert.equal(outcomes.length, TRANSFERS);
  assert.ok(committed > 0 && outcomes.every((report) => report.committed || report.aborted), JSON.stringify(outcomes.map((report) => report.abortReason)));
  await until("nothing is prepared any more", async () => (await sql(urls.west, prepared)).length === 0);
  const totals = await Promise.all(Object.values(urls).map(async (url) => Number((await sql(url, "SELECT sum(balance) AS total FROM ledger"))[0].total)));
  assert.deepEqual(totals, [1000 * accounts - committed, committed]);
}

test("the books balance on PostgreSQL", (t) => booksBalance(t, {
  start: startPostgres, url: "CONTRACT_POSTGRES", accounts: 5, // two transfers meet at one now and then, and do not stand still
  prepared: "SELECT gid FROM pg_prepared_xacts",
  async sql(url, text) {
    const client = new pg.Client(url);
    await client.connect();
    const { rows } = await client.query(text);
    await client.end();
    return rows;
  },
}));

test("the books balance on MariaDB", (t) => booksBalance(t, {
  start: startMariaDB, url: "CONTRACT_MARIADB", accounts: AT_ONCE, // who waits for whom is not known here: no two transfers meet
  prepared: "XA RECOVER",
  async sql(url, text) {
    const connection = await createConnection(url);
    const [rows] = await connection.query(text);
    await connection.end();
    return rows;
  },
}));

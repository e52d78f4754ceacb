// A bank over each database, for tests of the adapters: a server of each kind, a database for each test, and accounts.

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { createPool } from "mysql2/promise";
import pg from "pg";
import * as assent from "assent-sdk";
import { ask } from "assent-sdk/testkit";
import { workLockOfBranch } from "../dist/mysql.js";
import { protocolOf } from "../dist/words.js";
import { DETACH_TIME_MS } from "../dist/xa-sessions.js";
import { folder, startMariaDB, startPostgres, until } from "./rig.mjs";

const { Operation } = assent;
const TABLES = `CREATE TABLE IF NOT EXISTS account(name VARCHAR(64) PRIMARY KEY, coins BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS log(note VARCHAR(64) PRIMARY KEY)`;
const FORMAT = 0x4153;

/** Of the kinds with a server: a database of its own for each test. */
class Server {
  pools = [];

  async open() {
    this.url = await this.server.say("new");
    this.pool = this.newPool();
    this.db = await this.adapter().start().then(() => this.latest);
    await this.sql("INSERT INTO account VALUES ('ann', 100), ('bob', 100)");
  }

  newPool(settings) {
    const pool = this.makePool(this.url, settings);
    pool.on?.("error", () => undefined);
    this.pools.push(pool);
    return pool;
  }

  adapter(options = {}, pool = this.newPool()) {
    this.latest = bank(new this.Adapter(pool, { tables: TABLES, ...options }), this.mark);
    return this.latest;
  }

  async close() {
    await this.db?.close();
    await this.forgetPrepared();
    await Promise.all(this.pools.splice(0).map((pool) => pool.end()));
  }
}

export class InPostgreSQL extends Server {
  name = "PostgreSQL";
  ends = ["UPDATE account SET coins = 0; COMMIT", "/* a /* b */ c */ COMMIT"];
  Adapter = assent.PostgreSQL;
  mark = "$1";
  start = startPostgres;
  makePool = (connectionString, settings) => new pg.Pool({ connectionString, ...settings });
  sql = async (text) => (await this.pool.query(text)).rows;
  prepared = async () => (await this.sql("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'assent/%' AND database = current_database()")).length;
  takeAway = (gid, branch) => this.sql(`ROLLBACK PREPARED 'assent/${gid}/${branch}'`);
  forgetPrepared = async () => {
    for (const { gid } of await this.sql("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")) await this.sql(`ROLLBACK PREPARED '${gid}'`);
  };
}

export class InMariaDB extends Server {
  name = "MariaDB";
  ends = ["# done\nCOMMIT", "/*! COMMIT */", "SET autocommit = 1", "SET @@session.autocommit = 1", "LOCK TABLES account WRITE"];
  Adapter = assent.MySQL;
  mark = "?";
  start = startMariaDB;
  makePool = (uri, settings) => createPool({ uri, ...settings });
  sql = async (text) => (await this.pool.query(text))[0];
  prepared = async () => (await this.sql("XA RECOVER")).length;
  takeAway = async (gid, branch) => {
    const [{ worker }] = await this.sql(`SELECT IS_USED_LOCK('${workLockOfBranch({ gid, branchId: branch })}') AS worker`);
    if (worker !== null) await this.sql(`KILL CONNECTION ${worker}`).catch(() => undefined);
    await sleep(2 * DETACH_TIME_MS); // the server tells nobody when InnoDB has let go of it
    await until("it is let go of", () => this.sql(`XA ROLLBACK '${gid}','${branch}',${FORMAT}`).then(() => true, () => false));
  };
  forgetPrepared = async () => {
    for (const { gtrid_length: length, data } of await this.sql("XA RECOVER")) await this.takeAway(String(data).slice(0, length), String(data).slice(length));
  };
}

/** `take`, as two-phase, TCC and Saga, and what shows mistakes. */
export function bank(db, mark = "?") {
  const move = (amount) => async (tx, call) => {
    await tx.run(`UPDATE account SET coins = coins + (${amount}) WHERE name = ${mark}`, [call.text]);
    return `${Operation[call.operation]} ${call.text}`;
  };
  db.tcc("take", { try: move(-1), confirm: () => undefined, cancel: move(1) });
  db.tcc("pay", { try: () => undefined, confirm: move(-1), cancel: () => undefined });
  db.saga("take", { action: move(-1), compensate: move(1) });
  db.saga("run", async (tx, call) => void (await tx.run(call.text)));
  db.saga("get", async (tx, call) => JSON.stringify((await tx.all(call.text)).concat(await tx.get(call.text) ?? [])));
  db.saga("forget", (tx) => {
    tx.run("UPDATE account SET coins = 0"); // not awaited
  });
  db.saga("linger", (tx) => {
    db.lingering = (async () => {
      await new Promise(setImmediate);
      await sleep(20);
      await tx.run("UPDATE account SET coins = 0");
    })().catch((error) => error);
  });
  db.saga("swallow", async (tx) => {
    await tx.run("INSERT INTO account VALUES ('swallowed', 1)");
    await Promise.resolve().then(() => tx.all("SELECT * FROM no_such_table")).catch(() => undefined);
  });
  db.saga("stubborn", async (tx, call) => { // goes on whatever is said to it
    for (const sql of call.json()) await Promise.resolve().then(() => tx.run(sql)).catch(() => undefined);
    if (call.gid.startsWith("no")) throw new assent.Refused("no coins");
  });
  const commit = async (tx) => { // by itself, in MariaDB
    await tx.run("UPDATE account SET coins = coins - 1 WHERE name = 'ann'");
    await tx.run("CREATE TABLE IF NOT EXISTS more(x INT)");
  };
  db.tcc("late", { try: () => undefined, confirm: commit, cancel: commit });
  db.saga("late", { action: () => undefined, compensate: commit });
  db.saga("busy", async (tx) => {
    await tx.run("UPDATE account SET coins = 0");
    throw new assent.RetryLater("busy");
  });
  db.tcc("refuse", { try: async (tx) => {
    await tx.run("UPDATE account SET coins = 0");
    throw new assent.Refused("no coins");
  }, confirm: () => undefined, cancel: () => undefined });
  if (!db.twoPhase) return db;
  db.twoPhase("take", { prepare: move(-1) });
  db.twoPhase("away", { prepare: async (tx, call) => {
    for (const sql of ["UPDATE account SET coins = coins - 1 WHERE name = 'bob'", ...call.json()]) await tx.run(sql);
  } });
  db.twoPhase("look", { prepare: async (tx, call) => String((await tx.get(`SELECT coins FROM account WHERE name = ${mark}`, [call.text])).coins) });
  db.twoPhase("refuse", { prepare: async (tx) => {
    await tx.run("UPDATE account SET coins = 0");
    throw new assent.Refused("no coins");
  } });
  db.twoPhase("both", { prepare: async (tx, call) => { // two rows, in the order that is asked for
    for (const name of call.json()) {
      await tx.run(`UPDATE account SET coins = coins - 1 WHERE name = ${mark}`, [name]);
      await sleep(200); // so that the other one has the other row
    }
  } });
  return db;
}

export const asker = (target) => (operation, { action = "take", gid = "g1", payload = "ann", branch = "1", db = target.db, ...more } = {}) =>
  ask(db, { gid, branchId: branch, operation, protocol: protocolOf(operation), action, payload: Buffer.from(payload), ...more });
export const text = (reply) => Buffer.from(reply.result).toString();

export class InSQLite {
  name = "SQLite";
  ends = ["\uFEFFCOMMIT"];

  async open(t) {
    this.path = join(folder(t), "bank.db");
    this.opened = [];
    this.db = this.adapter();
    await this.db.start();
    await this.sql("INSERT INTO account VALUES ('ann', 100), ('bob', 100)");
  }

  adapter(options) {
    this.opened.push(bank(new assent.SQLite(this.path, { tables: TABLES, ...options })));
    return this.opened.at(-1);
  }

  /** From outside. */
  async sql(words) {
    const db = new Database(this.path, { timeout: 5000 });
    try {
      const statement = db.prepare(words);
      return statement.reader ? statement.all() : statement.run();
    } finally {
      db.close();
    }
  }

  async close() {
    for (const db of this.opened) await db.close();
  }
}

// What the tests of the outbox share: a coordinator, a shop whose steps are noted, and a database of each kind.

import { join } from "node:path";
import Database from "better-sqlite3";
import { createConnection, createPool } from "mysql2/promise";
import pg from "pg";
import * as assent from "assent-sdk";
import { Daemon, folder, HERE, Process, ROOT, run, startMariaDB, startPostgres, until } from "./rig.mjs";

export const EVERYTHING = { plain: 1000, keyed: 1000, bytes: 2 ** 30 };

/** Gids, in the order in which they were done. */
export class Shop {
  done = [];
  isOpen = true;

  constructor(endpoint) {
    const service = new assent.Service("shop");
    service.saga("ship", {
      action: (call) => {
        if (!this.isOpen) throw new assent.RetryLater("the shop is closed", 50);
        this.done.push(call.gid);
      },
      compensate: () => undefined,
    });
    service.saga("refuse", () => {
      throw new assent.Refused("no");
    });
    this.participant = new assent.Participant(service, { endpoints: endpoint, log: () => undefined });
  }
}

class Kind {
  async open(t) {
    this.t = t;
    this.lines = [];
    this.sdk = undefined;
    this.daemon = await Daemon.start(t);
    this.shop = new Shop(this.daemon.endpoint);
    await this.shop.participant.start();
    t.after(() => this.shop.participant.stop());
    await this.shop.participant.waitConnected();
    await this.newDatabase(t);
    this.outbox = this.newOutbox();
    await this.outbox.create();
    await this.outbox.create(); // once is enough, twice is well
    await this.sql("CREATE TABLE orders(name VARCHAR(64) PRIMARY KEY)");
  }

  newOutbox(options) {
    return new assent.Outbox(this.where, options);
  }

  async relay({ outbox = this.outbox, ...options } = {}) {
    const relay = new assent.Relay(outbox, { endpoints: this.daemon.endpoint, pollMs: 50, log: (line) => this.lines.push(line), ...options });
    this.stops.unshift(() => relay.stop());
    return await relay.start();
  }

  /** A relay in a process of its own. */
  process(...words) {
    return this.program("outbox-relay.mjs", ...words);
  }

  program(name, ...words) {
    const environment = { ASSENT_ENDPOINT: this.daemon.endpoint, OUTBOX_DATABASE: this.url };
    const process_ = new Process(process.execPath, [join(HERE, "test", name), this.name, ...words], environment, { cwd: HERE });
    this.t.after(() => process_.kill());
    return process_;
  }

  /** The SDK for Python, with the same database. */
  async python(script, ...words) {
    if (!this.sdk) {
      this.sdk = folder(this.t);
      const made = await run("/usr/bin/python3", ["-B", join(ROOT, "participant-sdk/python/generate.py"), this.sdk]);
      if (made.code !== 0) throw new Error(made.output);
    }
    const environment = { ASSENT_ENDPOINT: this.daemon.endpoint, OUTBOX_DATABASE: this.urlForPython, PYTHONPATH: this.sdk };
    const python = new Process("/usr/bin/python3", ["-B", ...(script ? ["-c", script] : []), ...words], environment);
    this.t.after(() => python.kill());
    return python;
  }

  order(gid, text = "", action = "ship") {
    return new assent.Transaction({ gid, deadlineMs: 60_000 }).saga("shop", action, text);
  }

  async publish(gids, { key, outbox = this.outbox } = {}) {
    await this.transaction(async (connection) => {
      for (const gid of gids) await outbox.publish(connection, this.order(gid), { key });
    });
  }

  async waits() {
    return (await this.outbox.list({ limit: 100_000 })).map(({ gid }) => gid);
  }

  /** As long as it goes on. */
  async untilGone() {
    let left = (await this.waits()).length;
    while (left > 0) left = await this.#untilLess(left);
  }

  async #untilLess(than) {
    return await until("another row has gone", async () => {
      const left = (await this.waits()).length;
      return left < than && { left };
    }).then(({ left }) => left).catch(async (error) => {
      throw new Error(`${error.message} ${JSON.stringify([await this.outbox.list({ limit: 5 }), this.lines])}`);
    });
  }

  async untilDone(...gids) {
    const differs = () => [...new Set([...gids, ...this.shop.done])].filter((gid) => this.shop.done.filter((done) => done === gid).length !== Number(gids.includes(gid)));
    await until("all of it is done", () => differs().length === 0).catch((error) => {
      throw new Error(`${error.message} ${JSON.stringify([differs(), this.lines])}`);
    });
  }

  /** What a relay would be given. */
  async take({ settled = [], room = EVERYTHING, leaseMs = 60_000 } = {}) {
    const table = await this.outbox.openTable();
    try {
      return await table.turn(settled, room, leaseMs);
    } finally {
      table.session.end();
    }
  }

  stops = [];
  async close() {
    for (const stop of this.stops.splice(0)) await stop();
  }
}

export class InSQLite extends Kind {
  name = "SQLite";
  async start() {
    return true;
  }

  async newDatabase(t) {
    this.where = this.url = this.urlForPython = join(folder(t), "shop.db");
    await this.sql("PRAGMA journal_mode = WAL");
  }

  connect() {
    return new Database(this.url, { timeout: 20_000 });
  }

  async transaction(work) {
    const db = this.connect();
    try {
      db.exec("BEGIN IMMEDIATE");
      await work(db);
      db.exec("COMMIT");
    } finally {
      db.close(); // and rolls back
    }
  }

  execute = async (db, sql) => db.exec(sql);
  disconnect = async (db) => db.close();

  async sql(words) {
    const db = this.connect();
    try {
      const statement = db.prepare(words);
      return statement.reader ? statement.all() : statement.run();
    } finally {
      db.close();
    }
  }

  adapter(options) {
    return new assent.SQLite(this.url, options);
  }

  fill = (count) => this.sql(`INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) SELECT 'h' || i, 'ann', X'00', 0 FROM n`);
}

class Server extends Kind {
  pools = [];

  async newDatabase() {
    this.url = await this.server.say("new");
    this.where = this.newPool();
  }

  newPool(settings = {}) {
    const pool = this.makePool(settings);
    this.pools.push(pool);
    return pool;
  }

  async transaction(work) {
    const connection = await this.connect();
    try {
      await connection.query("BEGIN");
      const value = await work(connection);
      await connection.query("COMMIT");
      return value;
    } finally {
      await this.disconnect(connection); // and rolls back
    }
  }

  execute = (connection, sql) => connection.query(sql);
  disconnect = (connection) => connection.end();

  async sql(words) {
    const connection = await this.connect();
    try {
      return this.rowsOf(await connection.query(words));
    } finally {
      await this.disconnect(connection);
    }
  }

  async close() {
    await super.close();
    await Promise.all(this.pools.splice(0).map((pool) => pool.end()));
  }
}

export class InPostgreSQL extends Server {
  name = "PostgreSQL";
  start = startPostgres;
  makePool(settings) {
    const pool = new pg.Pool({ connectionString: this.url, ...settings });
    pool.on("error", () => undefined);
    return pool;
  }
  get urlForPython() {
    return this.url;
  }
  async connect() {
    const client = new pg.Client({ connectionString: this.url });
    await client.connect();
    return client;
  }
  rowsOf = ({ rows }) => rows;
  adapter = (options) => new assent.PostgreSQL(this.newPool(), options);
  fill = (count) => this.sql(`INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) SELECT 'h' || i, 'ann', ''::bytea, 0 FROM generate_series(1, ${count}) i`);
  lock = "LOCK TABLE assent_outbox IN ACCESS EXCLUSIVE MODE";
}

export class InMariaDB extends Server {
  name = "MariaDB";
  start = startMariaDB;
  makePool = (settings) => createPool({ uri: this.url, ...settings });
  get urlForPython() {
    const { hostname, port, username, pathname } = new URL(this.url);
    return JSON.stringify({ host: hostname, port: Number(port), user: username, database: pathname.slice(1) });
  }
  connect = () => createConnection({ uri: this.url });
  rowsOf = ([rows]) => rows;
  adapter = () => new assent.MySQL(this.newPool());
  fill = (count) => this.sql(`INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) SELECT CONCAT('h', seq), 'ann', '', 0 FROM seq_1_to_${count}`);
  lock = "LOCK TABLES assent_outbox WRITE";
}

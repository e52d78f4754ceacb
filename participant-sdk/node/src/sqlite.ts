// The barrier in SQLite, over better-sqlite3: each operation happens once, in the service's own database, in the same local transaction
// as its rows.
//
//     const db = new SQLite("stock.db", { tables: "CREATE TABLE IF NOT EXISTS stock(item TEXT PRIMARY KEY, free INTEGER, held INTEGER)" });
//     db.tcc("reserve", { try: (tx, call) => { tx.run("UPDATE stock SET free = free - 1, held = held + 1 WHERE item = ?", [call.text]); }, … });
//
// One connection has the file; operations that wait for it share one commit. A handler may be asynchronous; others wait for it. Two-phase
// commit is not offered: SQLite cannot keep prepared work durable and unseen.

import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import type { Held } from "./barrier.js";
import { type Call, Reply, replyTo } from "./call.js";
import { ConfigError, sentenceOf } from "./errors.js";
import { type Job, keyOf, type Resource, unknownAction } from "./service.js";
import { BarrierTable, type DatabaseRow, type Dialect, type Execute, GONE, LocalTransaction, type Outcome, runLocal, SqlActions } from "./sql.js";
import { Kind, type Verdict } from "./words.js";

const MAX_BATCH = 64; // operations in one commit
const MAX_STATEMENTS = 256; // kept prepared
const BUSY_PAUSE_MS = 5;
const RETENTION_MS = 3_600_000;
const DIALECT: Dialect = { mark: () => "?", text: "TEXT", orKeep: " ON CONFLICT(gid, branch_id) DO NOTHING", forUpdate: "", lexicon: { single: true } };
const OPERATION = `assent_one_${randomBytes(8).toString("hex")}`; // a savepoint
// Of a COMMIT: it has certainly not happened, and the transaction still stands.
const NOT_COMMITTED = /^SQLITE_(BUSY|CONSTRAINT)/;

// The driver's JavaScript is here and what it is compiled to is not (a list of a dozen paths), or is another Node's.
const NO_BINARY = /Could not locate the bindings file|NODE_MODULE_VERSION/;
const HOW_TO_BUILD = "npm rebuild better-sqlite3 (which needs a C++ compiler where nobody offers a binary)";

const TABLE = `
CREATE TABLE IF NOT EXISTS assent_barrier(
  gid TEXT NOT NULL, branch_id TEXT NOT NULL,
  protocol INTEGER NOT NULL, action TEXT NOT NULL, state INTEGER NOT NULL,
  kind INTEGER NOT NULL, result BLOB, reason TEXT, second_result BLOB,
  coordinator_id INTEGER NOT NULL, began_epoch INTEGER NOT NULL,
  touched_ms INTEGER NOT NULL, orphan INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id)) WITHOUT ROWID`;

/** What is used of better-sqlite3. */
interface Statement {
  readonly reader: boolean;
  run(parameters: readonly unknown[]): { changes: number };
  all(parameters: readonly unknown[]): DatabaseRow[];
}
interface Connection {
  readonly inTransaction: boolean;
  prepare(sql: string): Statement;
  exec(sql: string): unknown;
  close(): unknown;
}
type Driver = new (path: string, options: { timeout: number }) => Connection;

/** A connection of the driver, which is loaded by who needs it. */
export async function openSQLite(path: string, timeout: number): Promise<Connection> {
  const name = "better-sqlite3";
  let Database: Driver;
  try {
    Database = (await import(name)).default;
  } catch (error) {
    throw new ConfigError(`better-sqlite3 is missing, which SQLite needs here: npm install better-sqlite3 (${sentenceOf(error)})`, { cause: error });
  }
  try {
    return new Database(path, { timeout });
  } catch (error) {
    if (NO_BINARY.test(sentenceOf(error))) throw new ConfigError(`better-sqlite3 is here without its binary for Node ${process.version}: ${HOW_TO_BUILD}`);
    throw error;
  }
}

export interface SQLiteOptions {
  /** SQL that creates the service's own tables, run when it starts. */
  readonly tables?: string;
  /** How long rows of ended transactions are kept. An hour. */
  readonly retentionMs?: number;
  /** How long to wait for another process that writes. 5 s. */
  readonly busyTimeoutMs?: number;
}

/** Placeholders are "?". Parameters: an array, or an object for named ones. */
export class SQLiteTx extends LocalTransaction {
  /** @internal */
  constructor(private readonly prepare: (sql: string) => Statement) {
    super(DIALECT.lexicon);
  }

  /** How many rows it has changed. */
  run(sql: string, parameters: readonly unknown[] = []): number {
    this.admit(sql);
    const statement = this.prepare(sql);
    if (statement.reader) return statement.all(parameters).length;
    return statement.run(parameters).changes;
  }

  /** The first row, or undefined. */
  get(sql: string, parameters: readonly unknown[] = []): DatabaseRow | undefined {
    return this.all(sql, parameters)[0];
  }

  all(sql: string, parameters: readonly unknown[] = []): DatabaseRow[] {
    this.admit(sql);
    return this.prepare(sql).all(parameters);
  }
}

/** A piece of work of the service itself, among the operations. */
interface Own {
  readonly work: (tx: SQLiteTx) => unknown;
  readonly resolve: (value: any) => void;
  readonly reject: (error: unknown) => void;
}
type Work = { readonly job: Job } | { readonly own: Own };
type Answer = { readonly value?: unknown; readonly failure?: unknown };

/** One file, in a local folder. */
export class SQLite extends SqlActions<SQLiteTx> implements Resource {
  readonly #retentionMs: number;
  readonly #busyTimeoutMs: number;
  readonly #inHandler = new AsyncLocalStorage<boolean>();
  readonly #statements = new Map<string, Statement>();
  readonly #table = new BarrierTable((sql, parameters) => this.#execute(sql, parameters), DIALECT, "main.");
  #queue: Work[] = [];
  #db: Connection | undefined;
  #starting: Promise<void> | undefined;
  #serving: Promise<void> | undefined;
  #broken: string | undefined;

  constructor(private readonly path: string, private readonly options: SQLiteOptions = {}) {
    super();
    this.#retentionMs = options.retentionMs ?? RETENTION_MS;
    this.#busyTimeoutMs = options.busyTimeoutMs ?? 5000;
  }

  // ---- for the service

  /** Runs `work(tx)` in a local transaction of its own: what the service itself reads and writes. Not from a handler. */
  async transaction<T>(work: (tx: SQLiteTx) => T | Promise<T>): Promise<T> {
    if (this.#inHandler.getStore()) throw new Error("a handler has its own tx: use that one");
    await this.start();
    return await new Promise<T>((resolve, reject) => this.#add({ own: { work, resolve, reject } }));
  }

  // ---- for what runs it

  start(): Promise<void> {
    this.#starting ??= this.#open().catch((error) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  execute(job: Job): void {
    this.#add({ job });
  }

  questions(limit: number): Promise<Held[]> {
    return this.transaction(() => this.#table.held(this.#retentionMs, limit));
  }

  answer(held: Held, verdict: Verdict, finished: boolean): Promise<void> {
    return this.transaction(async () => {
      const { upkeep, row } = await this.#table.upkeep(held, verdict, finished);
      if (upkeep === "forget" || upkeep === "orphan") await this.#table.forget(held, row, upkeep, this.#retentionMs);
    });
  }

  async close(): Promise<void> {
    while (this.#serving) await this.#serving;
    this.#statements.clear();
    this.#db?.close();
    this.#db = this.#starting = undefined;
  }

  // ---- the connection that has the file

  async #open(): Promise<void> {
    let db: Connection | undefined;
    try {
      db = await openSQLite(this.path, this.#busyTimeoutMs);
      db.exec("PRAGMA journal_mode = WAL");
      db.exec("PRAGMA synchronous = FULL"); // done means durable
      db.exec("PRAGMA foreign_keys = ON");
      if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'assent_meta'").all([]).length > 0) {
        throw new ConfigError(`${this.path} is kept by the C++ adapter, whose prepared work is not known here: give this service a file of its own`);
      }
      db.exec(TABLE);
      if (!db.prepare("SELECT 1 FROM pragma_table_info('assent_barrier') WHERE name = 'orphan'").all([]).length) {
        db.exec("ALTER TABLE assent_barrier ADD COLUMN orphan INTEGER NOT NULL DEFAULT 0");
      }
      if (this.options.tables) db.exec(this.options.tables);
      db.exec("PRAGMA busy_timeout = 0"); // from here on it waits without holding up everything else in this process
    } catch (error) {
      db?.close();
      if (error instanceof ConfigError) throw error;
      throw new ConfigError(`${this.path}: ${sentenceOf(error)}`, { cause: error });
    }
    this.#db = db;
  }

  #prepare(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db!.prepare(sql);
      if (this.#statements.size >= MAX_STATEMENTS) this.#statements.clear();
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Synchronous under the promise, as better-sqlite3 is. */
  readonly #execute: Execute = async (sql, parameters = []) => {
    const statement = this.#prepare(sql);
    if (!statement.reader) return { rows: [], changed: statement.run(parameters).changes };
    const rows = statement.all(parameters);
    return { rows, changed: rows.length };
  };

  #add(work: Work): void {
    this.#queue.push(work);
    this.#serving ??= this.#serve().finally(() => (this.#serving = undefined));
  }

  async #serve(): Promise<void> {
    await Promise.resolve(); // what comes in the same turn shares the commit
    while (this.#queue.length > 0) await this.#carryOut(this.#queue.splice(0, MAX_BATCH));
  }

  async #carryOut(given: Work[]): Promise<void> {
    const batch = given.filter((work) => "own" in work || work.job.begin());
    if (batch.length === 0) return;
    const answers = await this.#together(batch);
    if (!answers) {
      // One of them has undone all: each by itself shows which.
      for (const work of batch) await this.#carryOut([work]);
      return;
    }
    batch.forEach((work, at) => {
      const { value, failure } = answers[at]!;
      if ("job" in work) work.job.answer(failure === undefined ? (value as Reply) : replyTo(failure));
      else if (failure === undefined) work.own.resolve(value);
      else work.own.reject(failure);
    });
  }

  /** Of each what it gives, or why not. Undefined: nothing of it has happened, and it may be done one by one. */
  async #together(batch: Work[]): Promise<Answer[] | undefined> {
    const all = (failure: unknown): Answer[] => batch.map(() => ({ failure }));
    const db = this.#db;
    if (!db) return all(new Error(`${this.path} is not open`));
    if (this.#broken) return batch.map((work) => this.#unanswered(work));
    try {
      await this.#begin();
    } catch (error) {
      return all(error);
    }
    const answers: Answer[] = [];
    for (const work of batch) {
      const answer = await this.#one(work);
      answers.push(answer);
      if (!db.inTransaction) {
        // Some errors of SQLite undo the whole transaction.
        return batch.length > 1 ? undefined : [{ failure: answer.failure ?? new Error("the transaction was ended by a handler") }];
      }
    }
    try {
      this.commit();
    } catch (error) {
      if (NOT_COMMITTED.test((error as { code?: string }).code ?? "") && db.inTransaction) {
        db.exec("ROLLBACK");
        return batch.length > 1 ? undefined : all(error);
      }
      // Perhaps it is on disk, and this connection would not show it. No answer is the true one: it is asked again, and the next process
      // finds what there is.
      this.#broken = `a COMMIT of ${this.path} failed (${sentenceOf(error)}), and what it left is for the next start to find: restart this process`;
      return batch.map((work) => this.#unanswered(work));
    }
    return answers;
  }

  #unanswered(work: Work): Answer {
    return "job" in work ? { value: new Reply(Kind.UNKNOWN, undefined, this.#broken) } : { failure: new Error(this.#broken) };
  }

  async #begin(): Promise<void> {
    const end = performance.now() + this.#busyTimeoutMs;
    for (;;) {
      try {
        this.#db!.exec("BEGIN IMMEDIATE");
        return;
      } catch (error) {
        if (!/^SQLITE_BUSY/.test((error as { code?: string }).code ?? "") || performance.now() >= end) throw error;
        await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS)); // the other process tells nobody when it is ready
      }
    }
  }

  /** @internal */
  commit(): void {
    this.#db!.exec("COMMIT");
  }

  async #one(work: Work): Promise<Answer> {
    const db = this.#db!;
    db.exec(`SAVEPOINT ${OPERATION}`);
    try {
      if ("own" in work) {
        const value = await this.#inHandler.run(true, () => this.#ownWork(work.own));
        this.#leave(true);
        return { value };
      }
      const { reply, keeps } = await this.#inHandler.run(true, () => this.#perform(work.job.call));
      this.#leave(keeps);
      return { value: reply };
    } catch (error) {
      this.#leave(false);
      return { failure: error ?? new Error("undefined was thrown") };
    }
  }

  #leave(keeps: boolean): void {
    const db = this.#db!;
    if (!db.inTransaction) return;
    if (!keeps) db.exec(`ROLLBACK TO ${OPERATION}`);
    db.exec(`RELEASE ${OPERATION}`);
  }

  async #ownWork(own: Own): Promise<unknown> {
    const tx = this.#tx();
    try {
      return await own.work(tx);
    } finally {
      await tx.end();
    }
  }

  async #perform(call: Call): Promise<Outcome> {
    const action = this.table.get(keyOf(call.protocol, call.action));
    if (!action) return { reply: unknownAction(call), keeps: false };
    return await runLocal(this.#table, action, this.#tx(), call, this.#execute);
  }

  #tx(): SQLiteTx {
    return new SQLiteTx((sql) => {
      if (!this.#db!.inTransaction) throw new Error(GONE); // what follows would be committed by itself
      return this.#prepare(sql);
    });
  }
}

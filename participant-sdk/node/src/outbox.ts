// A transaction that starts if, and only if, a local transaction commits.
//
//     const outbox = new Outbox(pool);                                   // of pg, or mysql2/promise; SQLite: a path
//     await outbox.create();
//
//     await client.query("BEGIN");
//     await client.query("INSERT INTO orders VALUES ($1)", [order]);
//     await outbox.publish(client, new Transaction().tcc("stock", "reserve", order));
//     await client.query("COMMIT");
//
//     const relay = await new Relay(outbox).start();                     // hands over what was published
//
// `publish` writes one row of the table assent_outbox, on a connection of the user's or in a handler's `tx`, and talks to nobody. A relay
// (relay.ts, or one of another language) hands it to the coordinator, at least once under its gid, which the coordinator makes once.

import { RetryLater } from "./call.js";
import { AlreadyExists, ConfigError, FailedPrecondition, InvalidArgument, NotFound } from "./errors.js";
import type { MySqlPool } from "./mysql.js";
import { type Flavour, MAX_REQUEST_BYTES, MYSQL, numberIn, OutboxTable, type OutboxCounts, type OutboxRow, POSTGRESQL, SQLITE, sqlOf } from "./outbox-sql.js";
import { isPool, sessionOf } from "./outbox-sessions.js";
import type { PgPool } from "./postgresql.js";
import { ServerTx } from "./server-sql.js";
import type { Answer } from "./sql.js";
import { SQLiteTx } from "./sqlite.js";
import { checkAll, shown, type Transaction } from "./transaction.js";
import { bytesOfSubmit } from "./wire.js";

const MAX_ORDERING_KEY_BYTES = 128;
const COUNT_EVERY_MS = 1000;
const COUNT_EVERY_PUBLISHES = 1000;
const COUNTED = 100_000;
const DUPLICATE = [1062]; // of MySQL
const IN_TRANSACTION = 1; // SERVER_STATUS_IN_TRANS
const IN_AUTOCOMMIT = 2; // SERVER_STATUS_AUTOCOMMIT

export interface OutboxOptions {
  /** So many rows and more, and `publish` throws RetryLater: nobody hands them over. Counted once a second, or every 1,000 publishes. 100,000; 0: no bound. */
  readonly maxWaitingCount?: number;
  /** Over PostgreSQL relays are told at once. Not for a transaction that is to be prepared. */
  readonly notify?: boolean;
}

export interface PublishOptions {
  /**
   * Transactions of one key are begun one after the other, each when the one before has reached all its participants. 1 to 128 bytes of
   * UTF-8 without control characters.
   */
  readonly key?: string;
}

/** What is used of a connection of better-sqlite3. */
export interface SQLiteConnection {
  readonly inTransaction: boolean;
  prepare(sql: string): any;
}
/** And of pg (a client), of mysql2/promise. */
export interface QueryConnection {
  query(sql: any, parameters?: any): Promise<any>;
}
export type Publishing = SQLiteConnection | QueryConnection | SQLiteTx | ServerTx;

/** Who carries out statements; at once, or promised. */
interface Speaker {
  readonly flavour: Flavour;
  readonly run: (sql: string, parameters: readonly unknown[], reads: boolean) => ServerAnswer | Promise<ServerAnswer>;
  /** A handler's: it is in a transaction, which may be one that is to be prepared. */
  readonly tx?: SQLiteTx | ServerTx;
}
interface ServerAnswer extends Answer {
  readonly status?: number;
}
interface Step {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly reads: boolean;
}
type Steps<T> = Generator<Step, T, ServerAnswer>;

export class Outbox {
  readonly #maxWaitingCount: number;
  #countedAt: number | undefined;
  #published = 0;
  #isFull = false;

  /** `where`: a pool of pg or of mysql2/promise, or a path of SQLite, for who looks at the table (a relay, `list`). `publish` needs none. */
  constructor(private readonly where?: PgPool | MySqlPool | string, private readonly options: OutboxOptions = {}) {
    this.#maxWaitingCount = options.maxWaitingCount ?? COUNTED;
    if (!(this.#maxWaitingCount >= 0)) throw new ConfigError(`maxWaitingCount is ${this.#maxWaitingCount}; it must be 0 or more`);
  }

  // ---- for the service

  /**
   * Within the transaction that is open on `on`: a client of pg, a connection of mysql2/promise or better-sqlite3, or a handler's `tx`. Its
   * gid. Nothing is written when it throws, and the transaction stands.
   *
   * InvalidArgument: the transaction, or the key. AlreadyExists: a row with this gid is there. RetryLater: too many wait.
   * FailedPrecondition: no transaction is open.
   */
  async publish(on: Publishing, transaction: Transaction, options: PublishOptions = {}): Promise<string> {
    const speaker = speakerOf(on);
    const steps = this.#publishing(speaker, transaction, options);
    for (let step = steps.next(); ; ) {
      if (step.done) return step.value;
      let answer: ServerAnswer;
      try {
        answer = await speaker.run(step.value.sql, step.value.parameters, step.value.reads);
      } catch (error) {
        throw told(error, speaker, transaction.gid);
      }
      step = steps.next(answer);
    }
  }

  /** The same at once, over better-sqlite3: for `db.transaction(() => …)`, and handlers that are no promises. */
  publishSync(on: SQLiteConnection | SQLiteTx, transaction: Transaction, options: PublishOptions = {}): string {
    const speaker = speakerOf(on);
    if (speaker.flavour !== SQLITE) throw new InvalidArgument(`over ${speaker.flavour.name} publishing is a promise: await publish()`);
    const steps = this.#publishing(speaker, transaction, options);
    for (let step = steps.next(); ; ) {
      if (step.done) return step.value;
      step = steps.next(speaker.run(step.value.sql, step.value.parameters, step.value.reads) as ServerAnswer);
    }
  }

  *#publishing(speaker: Speaker, transaction: Transaction, { key }: PublishOptions): Steps<string> {
    const { flavour, tx } = speaker;
    const ask = (text: string, parameters: readonly unknown[] = [], reads = true): Step => ({ sql: sqlOf(flavour, text), parameters, reads });
    const { gid } = transaction;
    const request = requestOf(transaction);
    checkKey(key);
    const alone = (): FailedPrecondition => new FailedPrecondition("no transaction is open on this connection: begin one, and publish within it");
    if (!tx && flavour === MYSQL) {
      const { status } = yield ask("DO 0", [], false);
      if (status === undefined || (!(status & IN_TRANSACTION) && status & IN_AUTOCOMMIT)) throw alone();
    }
    if (!tx && flavour.isAlone) {
      const { rows: [found] } = yield ask(flavour.isAlone);
      if (found!.alone) throw alone();
    }
    if (!tx && flavour === SQLITE && !(speaker as Speaker & { connection: SQLiteConnection }).connection.inTransaction) throw alone();
    if (this.#mustCount()) {
      const { rows: [level] } = flavour.isolation ? yield ask(flavour.isolation) : { rows: [] };
      // Where counting would stand in the way of who else publishes it is left out.
      if (!/^serializable$/i.test(String(level?.isolation ?? level?.Value ?? ""))) {
        const { rows } = yield ask(`SELECT COUNT(*) AS waiting FROM (SELECT 1 AS one FROM assent_outbox LIMIT ${this.#maxWaitingCount}) counted`);
        this.#isFull = numberIn(rows[0]!.waiting) >= this.#maxWaitingCount;
      }
    }
    if (this.#maxWaitingCount > 0 && this.#isFull) {
      throw new RetryLater(`${this.#maxWaitingCount} rows of assent_outbox wait to be handed over to the coordinator`, COUNT_EVERY_MS);
    }
    const { changed } = yield ask(`INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) VALUES (?, ?, ?, {now})${flavour.onConflict}`,
      [gid, key ?? null, request], false);
    if (changed === 0) throw duplicate(gid);
    const isKept = tx instanceof ServerTx && tx.isKept;
    if (flavour.notify && !isKept && this.options.notify !== false) yield ask(flavour.notify);
    return gid;
  }

  #mustCount(): boolean {
    if (this.#maxWaitingCount === 0) return false;
    const now = performance.now();
    const must = this.#countedAt === undefined || now - this.#countedAt >= COUNT_EVERY_MS || this.#published >= COUNT_EVERY_PUBLISHES;
    if (must) {
      this.#countedAt = now;
      this.#published = 0;
    }
    this.#published += 1;
    return must;
  }

  /** @internal for tests: the next publish counts. */
  forgetCount(): void {
    this.#countedAt = undefined;
  }

  // ---- for people

  /** The table, if it is not there. */
  create(): Promise<void> {
    return this.#withTable((table) => table.create());
  }

  count(bound = COUNTED): Promise<OutboxCounts> {
    return this.#withTable((table) => table.count(bound));
  }

  /** The oldest first. */
  list(options: { readonly limit?: number; readonly parkedOnly?: boolean } = {}): Promise<OutboxRow[]> {
    return this.#withTable((table) => table.list(options.parkedOnly ?? false, options.limit ?? 100));
  }

  /** It is handed over again, as if it had never been: due now, and not parked any more. NotFound: there is no such row. */
  async retry(gid: string): Promise<void> {
    if (!(await this.#withTable((table) => table.retry(gid)))) throw new NotFound(`assent_outbox has no row of transaction ${gid}`);
  }

  /** It is never handed over (again). */
  async drop(gid: string): Promise<void> {
    if (!(await this.#withTable((table) => table.drop(gid)))) throw new NotFound(`assent_outbox has no row of transaction ${gid}`);
  }

  async #withTable<T>(work: (table: OutboxTable) => Promise<T>): Promise<T> {
    const table = await this.openTable();
    try {
      return await work(table);
    } finally {
      table.session.end();
    }
  }

  /** @internal Of a connection that is nobody else's. */
  async openTable(): Promise<OutboxTable> {
    if (this.where === undefined) throw new ConfigError("this Outbox was made without a pool or a path: it publishes, and does nothing else");
    const table = new OutboxTable(await sessionOf(this.where));
    try {
      await table.prepare();
    } catch (error) {
      table.session.end();
      throw error;
    }
    return table;
  }
}

/** What kind of connection it is, as far as that can be seen. */
function speakerOf(on: any): Speaker & { connection?: SQLiteConnection } {
  if (on instanceof SQLiteTx) {
    return { flavour: SQLITE, tx: on, run: (sql, parameters, reads) => (reads ? { rows: on.all(sql, parameters), changed: 0 } : { rows: [], changed: on.run(sql, parameters) }) };
  }
  if (on instanceof ServerTx) {
    const run = async (sql: string, parameters: readonly unknown[], reads: boolean): Promise<ServerAnswer> =>
      reads ? { rows: await on.all(sql, parameters), changed: 0 } : { rows: [], changed: await on.run(sql, parameters) };
    return { flavour: on.isPostgreSQL ? POSTGRESQL : MYSQL, tx: on, run };
  }
  if (typeof on?.prepare === "function" && typeof on.inTransaction === "boolean") {
    const run = (sql: string, parameters: readonly unknown[], reads: boolean): ServerAnswer =>
      reads ? { rows: on.prepare(sql).all(...parameters), changed: 0 } : { rows: [], changed: on.prepare(sql).run(...parameters).changes };
    return { flavour: SQLITE, connection: on, run };
  }
  if (isPool(on)) throw new InvalidArgument("a pool has many connections: publish on the one whose transaction it is");
  if (typeof on?.query === "function" && typeof on.escapeIdentifier === "function") {
    return { flavour: POSTGRESQL, run: async (sql, parameters) => {
      const { rows, rowCount } = await (parameters.length > 0 ? on.query(sql, parameters) : on.query(sql));
      return { rows, changed: rowCount ?? 0 };
    } };
  }
  if (typeof on?.query === "function" && typeof on.beginTransaction === "function" && typeof on.promise !== "function") {
    return { flavour: MYSQL, run: async (sql, parameters) => {
      const [answer] = await on.query(sql, parameters);
      return Array.isArray(answer) ? { rows: answer, changed: 0 } : { rows: [], changed: answer.affectedRows ?? 0, status: answer.serverStatus };
    } };
  }
  throw new InvalidArgument("it is no client of pg, no connection of mysql2/promise or better-sqlite3, and no handler's tx");
}

/** The bytes of a row. */
function requestOf(transaction: Transaction): Buffer {
  checkAll(transaction);
  const request = bytesOfSubmit(transaction);
  if (request.length > MAX_REQUEST_BYTES) throw new InvalidArgument(`the transaction has ${request.length} bytes; at most ${MAX_REQUEST_BYTES}`);
  return request;
}

function checkKey(key: string | undefined): void {
  if (key === undefined) return;
  // (A lone surrogate is no character.)
  if (typeof key !== "string" || key === "" || Buffer.byteLength(key) > MAX_ORDERING_KEY_BYTES || /[\u0000-\u001f\u007f]|\p{Surrogate}/u.test(key)) {
    throw new InvalidArgument(`key is ${shown(key)}; it takes 1 to ${MAX_ORDERING_KEY_BYTES} bytes of UTF-8 without control characters`);
  }
}

function duplicate(gid: string): AlreadyExists {
  return new AlreadyExists(`assent_outbox has a row of transaction ${gid}: publish it once, or make another gid`);
}

/** What the driver throws, or what it means. */
function told(error: unknown, { flavour }: Speaker, gid: string): unknown {
  return flavour === MYSQL && DUPLICATE.includes((error as { errno?: number }).errno ?? 0) ? duplicate(gid) : error;
}

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
import { AlreadyExists, ConfigError, InvalidArgument, NotFound } from "./errors.js";
import type { MySqlPool } from "./mysql.js";
import { MAX_REQUEST_BYTES, numberIn, OutboxTable, type OutboxCounts, type OutboxRow } from "./outbox-sql.js";
import { sessionOf } from "./outbox-sessions.js";
import type { PgPool } from "./postgresql.js";
import { ServerTx } from "./server-sql.js";
import { ask, carryOut, carryOutSync, checkTransaction, isDuplicate, type Publishing, type Speaker, speakerOf, type SQLiteConnection, type Steps } from "./speaker.js";
import type { SQLiteTx } from "./sqlite.js";
import { checkAll, shown, type Transaction } from "./transaction.js";
import { bytesOfSubmit } from "./wire.js";

const MAX_ORDERING_KEY_BYTES = 128;
const COUNT_EVERY_MS = 1000;
const COUNT_EVERY_PUBLISHES = 1000;
const COUNTED = 100_000;

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
    return await carryOut(speaker, this.#publishing(speaker, transaction, options));
  }

  /** The same at once, over better-sqlite3: for `db.transaction(() => …)`, and handlers that are no promises. */
  publishSync(on: SQLiteConnection | SQLiteTx, transaction: Transaction, options: PublishOptions = {}): string {
    const speaker = speakerOf(on);
    return carryOutSync(speaker, this.#publishing(speaker, transaction, options));
  }

  *#publishing(speaker: Speaker, transaction: Transaction, { key }: PublishOptions): Steps<string> {
    const { flavour, tx } = speaker;
    const { gid } = transaction;
    const request = requestOf(transaction);
    checkKey(key);
    yield* checkTransaction(speaker);
    if (this.#mustCount()) {
      const { rows: [level] } = flavour.isolation ? yield ask(flavour, flavour.isolation) : { rows: [] };
      // Where counting would stand in the way of who else publishes it is left out.
      if (!/^serializable$/i.test(String(level?.isolation ?? level?.Value ?? ""))) {
        const { rows } = yield ask(flavour, `SELECT COUNT(*) AS waiting FROM (SELECT 1 AS one FROM assent_outbox LIMIT ${this.#maxWaitingCount}) counted`);
        this.#isFull = numberIn(rows[0]!.waiting) >= this.#maxWaitingCount;
      }
    }
    if (this.#maxWaitingCount > 0 && this.#isFull) {
      throw new RetryLater(`${this.#maxWaitingCount} rows of assent_outbox wait to be handed over to the coordinator`, COUNT_EVERY_MS);
    }
    let changed: number;
    try {
      ({ changed } = yield ask(flavour, `INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) VALUES (?, ?, ?, {now})${flavour.onConflict}`,
        [gid, key ?? null, request], false));
    } catch (error) {
      throw isDuplicate(error, flavour) ? duplicate(gid) : error;
    }
    if (changed === 0) throw duplicate(gid);
    const isKept = tx instanceof ServerTx && tx.isKept;
    if (flavour.notify && !isKept && this.options.notify !== false) yield ask(flavour, flavour.notify);
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

// A message without an outbox: a transaction that begins if, and only if, a local transaction of its initiator commits. The coordinator has
// it before; when the initiator falls silent it asks.
//
//     const ship = new Transaction().checkBack("orders", "placed").saga("shipping", "book", order);
//     await client.prepare(ship);                                        // nothing has happened
//
//     await connection.query("BEGIN");
//     await connection.query("INSERT INTO orders VALUES ($1)", [order]);
//     await enlist(connection, ship);                                    // a row of the barrier
//     await connection.query("COMMIT");
//     await client.submit(ship);                                         // it begins now; without this it would, a moment later
//
// "orders" is a participant on the same database, whose adapter has
//
//     db.saga("placed", checkBack());
//
// The mark is the row that this participant would have written, had it been asked and had done the step: so every instance of it, in
// whatever language, can answer. Asked before the local transaction has committed it says "later", for as long as `patienceMs` after
// `prepare`; asked after that, it says no, and the barrier keeps that, where `enlist` finds it: a local transaction that comes too late fails.

import { Kept } from "./barrier.js";
import { type Call, Refused, RetryLater } from "./call.js";
import { AlreadyExists, AssentError, ConfigError, FailedPrecondition, InvalidArgument, sentenceOf } from "./errors.js";
import { MYSQL, POSTGRESQL } from "./outbox-sql.js";
import { keyOfBranch } from "./postgresql.js";
import type { SagaHandlers } from "./service.js";
import { ask, carryOut, carryOutSync, checkTransaction, isDuplicate, type Publishing, type Speaker, speakerOf, type SQLiteConnection, type Steps } from "./speaker.js";
import { COLUMNS, OF_BRANCH } from "./sql.js";
import type { SQLiteTx } from "./sqlite.js";
import type { Transaction } from "./transaction.js";
import { Kind, Protocol } from "./words.js";

const PATIENCE_MS = 10_000;
const UNIQUE_VIOLATION = "23505"; // of PostgreSQL
const NO_SUCH_TABLE = ["42P01", "ER_NO_SUCH_TABLE"]; // of PostgreSQL, of MySQL
const NO_BARRIER = "no table assent_barrier is there, which the adapter of a participant makes in its database when it starts";

export interface CheckBackOptions {
  /**
   * From `prepare`, by the coordinator's clock, to the commit of the local transaction, by this machine's. What takes longer is answered
   * with no, and cannot commit any more. At least the time that the slowest local transaction may take. 10 s.
   */
  readonly patienceMs?: number;
}

/**
 * What an adapter is asked about messages that `enlist` marks: `db.saga("placed", checkBack())`. It runs only where no row is there. (On
 * servers who is just enlisting has the branch locked: the adapter waits for it, in vain perhaps, and that is answered "later", too.)
 */
export function checkBack({ patienceMs = PATIENCE_MS }: CheckBackOptions = {}): SagaHandlers<[tx: unknown, call: Call]> {
  if (!(patienceMs >= 0)) throw new ConfigError(`patienceMs is ${patienceMs}; it must be 0 or more`);
  return {
    action: (_, call) => {
      if (Date.now() - call.beganUnixMs < patienceMs) throw new RetryLater("its initiator's local transaction may still be under way");
      throw new Refused(`its initiator's local transaction had not committed after ${patienceMs} ms, and never will`);
    },
    // Nobody asks for it: past the pivot there is only forward.
    compensate: () => {
      throw new Refused("what its initiator has committed is not undone");
    },
  };
}

/**
 * Marks the message within the transaction that is open on `on` (as `publish` takes it): one row of the barrier, which commits with it.
 * Say it last, just before the COMMIT: who is asked about the message meanwhile waits. When it throws, roll back.
 *
 * InvalidArgument: the message does not begin with checkBack, or is wrong otherwise. FailedPrecondition: the coordinator has asked, and was
 * told no; or no transaction is open, or no adapter has made its tables here. AlreadyExists: it is enlisted.
 */
export async function enlist(on: Publishing, message: Transaction): Promise<void> {
  const speaker = speakerOf(on);
  await carryOut(speaker, enlisting(speaker, message));
}

/** The same at once, over better-sqlite3. */
export function enlistSync(on: SQLiteConnection | SQLiteTx, message: Transaction): void {
  const speaker = speakerOf(on);
  carryOutSync(speaker, enlisting(speaker, message));
}

function* enlisting(speaker: Speaker, message: Transaction): Steps<void> {
  message.check();
  const { gid, branches: [step] } = message;
  if (!step!.checkBack) throw new InvalidArgument(`transaction ${gid} is no message that checks back: begin it with checkBack`);
  const branchId = step!.id || "1";
  yield* checkTransaction(speaker);
  try {
    yield* mark(speaker, gid, branchId, step!.action);
  } catch (error) {
    throw isNoTable(error) ? new FailedPrecondition(`${NO_BARRIER} (${sentenceOf(error)})`, { cause: error }) : error;
  }
}

function* mark({ flavour }: Speaker, gid: string, branchId: string, action: string): Steps<void> {
  const look = ask(flavour, `SELECT state FROM assent_barrier ${OF_BRANCH}${flavour === MYSQL ? " LOCK IN SHARE MODE" : ""}`, [gid, branchId]);
  if (flavour !== MYSQL) {
    // First the branch's lock: who is being asked about it has answered, or comes later, and meets no row that has not committed.
    if (flavour === POSTGRESQL) yield ask(flavour, `SELECT pg_advisory_xact_lock(${keyOfBranch({ gid, branchId })})`);
    const { rows: [found] } = yield look;
    if (found) throw notEnlisted(gid, found.state);
  }
  const nothing = Buffer.alloc(0);
  try {
    yield ask(flavour, `INSERT INTO assent_barrier(${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, {now})`,
      [gid, branchId, Protocol.SAGA, action, Kept.DONE, Kind.DONE, nothing, "", nothing], false);
  } catch (error) {
    if ((error as { code?: unknown }).code === UNIQUE_VIOLATION) throw unseen(gid, error);
    if (!isDuplicate(error, flavour)) throw error;
    // What is committed now, whatever this transaction's snapshot shows.
    const { rows: [found] } = yield look;
    throw notEnlisted(gid, found?.state);
  }
}

function notEnlisted(gid: string, state: unknown): AssentError {
  if (state === Kept.DONE) return new AlreadyExists(`message ${gid} is enlisted: one is enlisted once`);
  return new FailedPrecondition(`message ${gid} will not begin: the coordinator has asked, and was told no. Roll back; prepare a new one, ` +
    "and be quicker, or raise patienceMs");
}

/** After this error PostgreSQL answers nothing more in this transaction. */
function unseen(gid: string, cause: unknown): FailedPrecondition {
  return new FailedPrecondition(`message ${gid} has a row that this transaction's snapshot does not show: the coordinator has asked, and was told no; ` +
    "or it is enlisted. Roll back; enlisting it in a transaction that begins now says which", { cause });
}

function isNoTable(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return NO_SUCH_TABLE.includes(String(code)) || (code === "SQLITE_ERROR" && /^no such table: (main\.)?assent_barrier$/.test(String(message)));
}

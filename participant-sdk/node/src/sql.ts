// What the adapters of all databases share: the row of a branch, what a handler may do, and how one operation is run in a local
// transaction. The rules are in barrier.ts.

import { randomBytes } from "node:crypto";
import { type Held, Kept, NO_ROW, openCall, type Opening, type Row, stateAfter, type Upkeep, upkeepFor } from "./barrier.js";
import { Call, done, Refused, refused, Reply, replyOf, replyTo, RetryLater, retryLater } from "./call.js";
import { type Action, Actions } from "./service.js";
import { endingOf, type Lexicon } from "./statements.js";
import { Kind, Operation, Protocol, roleOf, Verdict } from "./words.js";

export type DatabaseRow = Record<string, any>;
export interface Answer {
  readonly rows: DatabaseRow[];
  readonly changed: number;
  /** The server's first word about it, where it has one. */
  readonly command?: string;
}
export type Execute = (sql: string, parameters?: readonly unknown[]) => Promise<Answer>;

/** Of this process: a handler has none of the same name. */
export const SAVEPOINT = `assent_handler_${randomBytes(8).toString("hex")}`;

/** A row of state NONE that is committed: nothing else leaves one. */
export const LEFT_BEHIND = "HAZARD: a handler of this branch has committed its transaction by itself, and what it wrote stays: look at it, then " +
  "set the state of its row in assent_barrier (2 done, 5 confirmed, 6 undone), or delete the row, if nothing was done";

export const GONE = "the handler's transaction is gone: an error has rolled it back (a deadlock does), and the handler has gone on; or it was " +
  "ended by a statement of the handler's (CREATE TABLE does)";

/** What a handler gets: the local transaction that its writes, and the barrier's row, are committed in. It is ended for it. */
export abstract class LocalTransaction {
  #over = false;

  protected constructor(private readonly lexicon: Lexicon) {}

  /** Before each statement of the handler. */
  protected admit(sql: string): void {
    if (this.#over) throw new Error("the handler has returned, and its transaction is over: await what it does with tx");
    if (typeof sql !== "string") throw new TypeError("tx takes SQL as a string, and then its parameters");
    const ending = endingOf(sql, this.lexicon);
    if (ending) throw new Error(`${ending} is not for a handler: its transaction is ended for it, together with the barrier's row`);
  }

  /** The handler has returned, or thrown. Throws what it left undone. */
  async end(): Promise<void> {
    this.#over = true;
  }
}

/** What databases do not have in common. */
export interface Dialect {
  /** The placeholder of a statement's n-th parameter, from 1. */
  readonly mark: (n: number) => string;
  /** What a number of 64 bits is cast to, to be read without loss. */
  readonly text: string;
  /** Of an INSERT: leaves a row that is there as it is, and waits for who has it. */
  readonly orKeep: string;
  /** Of a SELECT: the row is ours until the transaction ends. */
  readonly forUpdate: string;
  readonly lexicon: Lexicon;
}

export const COLUMNS = "gid, branch_id, protocol, action, state, kind, result, reason, second_result, coordinator_id, began_epoch, touched_ms";
export const OF_BRANCH = "WHERE gid = ? AND branch_id = ?";

/** What is kept of a branch, and who may say so. */
export interface Found {
  readonly row: Row;
  /** Somebody's committed row of state NONE: LEFT_BEHIND. */
  readonly leftBehind: boolean;
}

/** The table assent_barrier; `schema`: where it is, with a dot behind it. */
export class BarrierTable {
  readonly #name: string;

  constructor(private readonly execute: Execute, private readonly dialect: Dialect, schema: string) {
    this.#name = `${schema}assent_barrier`;
  }

  #run(sql: string, parameters: readonly unknown[]): Promise<Answer> {
    let number = 0;
    return this.execute(sql.replaceAll("?", () => this.dialect.mark((number += 1))), parameters);
  }

  /**
   * The row of the call's branch, which is ours until the transaction ends, also if there was none: two that come at once, in whatever
   * processes and languages, come one after the other. Whoever keeps nothing rolls back.
   */
  async claim(call: Call): Promise<Found> {
    const mine = randomBytes(16); // whether a row was inserted, drivers do not say alike
    await this.#insert(call, Kept.NONE, done(), mine, this.dialect.orKeep);
    const found = await this.find(call.gid, call.branchId, this.dialect.forUpdate);
    return { row: found.row, leftBehind: found.leftBehind && !mine.equals(found.row.secondResult) };
  }

  async find(gid: string, branchId: string, lock = ""): Promise<Found> {
    const { rows: [found] } = await this.#run(
      `SELECT state, protocol, action, kind, result, reason, second_result FROM ${this.#name} ${OF_BRANCH}${lock}`, [gid, branchId]);
    if (!found) return { row: NO_ROW, leftBehind: false };
    if (!Kept[found.state] || !Protocol[found.protocol] || !Kind[found.kind]) throw new Error(`assent_barrier: the row (${gid}, ${branchId}) is damaged`);
    const secondResult = Buffer.from(found.second_result ?? "");
    return { row: { state: found.state, protocol: found.protocol, action: found.action, first: firstOf(found), secondResult }, leftBehind: found.state === Kept.NONE };
  }

  /** Of a branch that has no row, and that nobody else is at. */
  async insert(call: Call, state: Kept, first: Reply): Promise<void> {
    await this.#insert(call, state, first, Buffer.alloc(0), "");
  }

  async #insert(call: Call, state: Kept, first: Reply, second: Buffer, orKeep: string): Promise<void> {
    await this.#run(`INSERT INTO ${this.#name}(${COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)${orKeep}`,
      [call.gid, call.branchId, call.protocol, call.action, state, first.kind, Buffer.from(first.result), first.reason, second,
        call.coordinatorId, String(BigInt.asIntN(64, call.beganEpoch)), Date.now()]);
  }

  /** Of a row that was claimed, and was not there. */
  async put(call: Call, state: Kept, first: Reply): Promise<void> {
    await this.#change("state = ?, kind = ?, result = ?, reason = ?, second_result = ?, touched_ms = ?",
      [state, first.kind, Buffer.from(first.result), first.reason, Buffer.alloc(0), Date.now()], call, Kept.NONE);
  }

  /** Before a handler of the second phase, in its transaction: if it commits by itself, it leaves a row of state NONE. */
  async beginSecond(call: Call, from: Kept): Promise<void> {
    await this.#change("state = ?", [Kept.NONE], call, from);
  }

  /** `from`: what was read, or begun. */
  async advance(call: { gid: string; branchId: string }, from: Kept, state: Kept, secondResult: Uint8Array = new Uint8Array()): Promise<void> {
    await this.#change("state = ?, second_result = ?, touched_ms = ?", [state, Buffer.from(secondResult), Date.now()], call, from);
  }

  async #change(columns: string, values: readonly unknown[], { gid, branchId }: { gid: string; branchId: string }, from: Kept): Promise<void> {
    const { changed } = await this.#run(`UPDATE ${this.#name} SET ${columns} ${OF_BRANCH} AND state = ?`, [...values, gid, branchId, from]);
    if (changed !== 1) throw new RetryLater("somebody else was at this branch");
  }

  /** What is prepared, then what is old enough to go; the oldest first. */
  async held(olderThanMs: number, limit: number): Promise<Held[]> {
    const { rows: found } = await this.#run(`SELECT gid, branch_id, coordinator_id, CAST(began_epoch AS ${this.dialect.text}) AS epoch FROM ${this.#name} ` +
      "WHERE orphan = 0 AND state <> ? AND (state = ? OR touched_ms < ?) ORDER BY CASE WHEN state = ? THEN 0 ELSE 1 END, touched_ms LIMIT ?",
      [Kept.NONE, Kept.PREPARED, Date.now() - olderThanMs, Kept.PREPARED, limit]);
    return found.map((row) => ({
      gid: row.gid, branchId: row.branch_id, coordinatorId: Number(row.coordinator_id), beganEpoch: BigInt.asUintN(64, BigInt(row.epoch)) }));
  }

  async forget(held: Held, { state }: Row, upkeep: Upkeep, olderThanMs: number): Promise<void> {
    const head = upkeep === "orphan" ? `UPDATE ${this.#name} SET orphan = 1` : `DELETE FROM ${this.#name}`;
    await this.#run(`${head} ${OF_BRANCH} AND state = ? AND touched_ms < ?`, [held.gid, held.branchId, state, Date.now() - olderThanMs]);
  }

  async upkeep(held: Held, verdict: Verdict, finished: boolean): Promise<{ upkeep: Upkeep; row: Row }> {
    const { row } = await this.find(held.gid, held.branchId);
    return { upkeep: upkeepFor(row.state, row.protocol, verdict, finished), row };
  }
}

/** What the forward operation was answered. Of a row whose state a person has set the state tells. */
function firstOf(found: DatabaseRow): Reply {
  if (found.state === Kept.REFUSED && found.kind !== Kind.REFUSED) return refused(found.reason || "it was refused by hand");
  return new Reply(found.kind === Kind.UNKNOWN ? Kind.DONE : found.kind, found.result ?? undefined, found.reason ?? "");
}

export function openFound(call: Call, { row, leftBehind }: Found): Opening {
  if (!leftBehind) return openCall(call, row);
  return { move: "refuse", reply: roleOf(call.operation) === "forward" ? retryLater(LEFT_BEHIND) : refused(LEFT_BEHIND) };
}

/** An adapter's actions: handlers take (tx, call). */
export class SqlActions<Tx extends LocalTransaction> extends Actions<[tx: Tx, call: Call]> {
  actions(): { protocol: Protocol; name: string }[] {
    return [...this.table.values()].map(({ protocol, name }) => ({ protocol, name }));
  }
}

/**
 * What the handler says. Its exceptions are of two kinds: Refused and RetryLater are answers; every other one is thrown on, since the
 * adapter may know better (a lost connection, a deadlock).
 */
export async function runHandler<Tx extends LocalTransaction>(action: Action<[tx: Tx, call: Call]>, tx: Tx, call: Call): Promise<Reply> {
  const handler = action.handlers.get(call.operation);
  try {
    const returned = await handler?.(tx, call);
    await tx.end();
    return replyOf(returned, call);
  } catch (error) {
    await tx.end().catch(() => undefined);
    if (error instanceof Refused || error instanceof RetryLater) return replyTo(error)!.normalized(roleOf(call.operation));
    throw error;
  }
}

/** What an operation is answered, and whether its local transaction is to be committed; else it is rolled back. */
export interface Outcome {
  readonly reply: Reply;
  readonly keeps: boolean;
}

/**
 * One operation within the local transaction that `tx` and `table` are in; `execute` runs statements about savepoints. What the handler
 * wrote is undone with every answer but done. Whatever is thrown: roll the whole back.
 */
export async function runLocal<Tx extends LocalTransaction>(
  table: BarrierTable, action: Action<[tx: Tx, call: Call]>, tx: Tx, call: Call, execute: Execute): Promise<Outcome> {
  const found = await table.claim(call);
  const opening = openFound(call, found);
  if (opening.move === "bury") await table.put(call, Kept.TOMBSTONE, opening.reply);
  if (opening.move !== "run") return { reply: opening.reply, keeps: opening.move === "bury" };
  const isForward = roleOf(call.operation) === "forward";
  if (!isForward) await table.beginSecond(call, found.row.state);
  await execute(`SAVEPOINT ${SAVEPOINT}`);
  const reply = await runHandler(action, tx, call);
  if (!reply.isDone) await execute(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  await execute(`RELEASE SAVEPOINT ${SAVEPOINT}`);
  const state = stateAfter(call, reply, reply.kind !== Kind.DONE_READ_ONLY);
  if (state === Kept.NONE) return { reply, keeps: false };
  if (isForward) await table.put(call, state, reply);
  else await table.advance(call, Kept.NONE, state, reply.result);
  return { reply, keeps: true };
}

/** A verdict about prepared work, as the call that says the same. */
export function secondCall(held: Held, row: Row, verdict: Verdict): Call {
  const operation = verdict === Verdict.COMMIT ? Operation.COMMIT : Operation.ROLLBACK;
  return new Call({ ...held, operation, protocol: Protocol.TWO_PHASE, action: row.action });
}

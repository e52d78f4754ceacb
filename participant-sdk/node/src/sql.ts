// What the adapters of all databases share: the row of a branch, what a handler may do, and how one operation is run in a local
// transaction. The rules are in barrier.ts.

import { type Held, Kept, NO_ROW, openCall, type Row, stateAfter, type Upkeep, upkeepFor } from "./barrier.js";
import { Call, Refused, Reply, replyOf, replyTo, RetryLater } from "./call.js";
import { type Action, Actions } from "./service.js";
import { Kind, Operation, Protocol, roleOf, Verdict } from "./words.js";

const ENDS_A_TRANSACTION =
  /^\s*(BEGIN|START\s+TRANSACTION|COMMIT|END|ABORT|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO\b)|PREPARE\s+TRANSACTION|XA)\b/i;

export type DatabaseRow = Record<string, any>;
/** Runs a statement, and gives its rows. */
export type Execute = (sql: string, parameters?: readonly unknown[]) => Promise<DatabaseRow[]>;

export const GONE = "the handler's transaction is gone: an error has rolled it back (a deadlock does), and the handler has gone on; or it was " +
  "ended by a statement of the handler's (CREATE TABLE does)";

/** What a handler gets: the local transaction that its writes, and the barrier's row, are committed in. It is ended for it. */
export abstract class LocalTransaction {
  #over = false;

  /** Before each statement of the handler. */
  protected admit(sql: string): void {
    if (this.#over) throw new Error("the handler has returned, and its transaction is over: await what it does with tx");
    const ending = ENDS_A_TRANSACTION.exec(sql);
    if (ending) {
      throw new Error(`${ending[1]!.toUpperCase()} is not for a handler: its transaction is ended for it, together with the barrier's row`);
    }
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
}

/** The table assent_barrier. */
export class BarrierTable {
  constructor(private readonly execute: Execute, private readonly dialect: Dialect) {}

  #run(sql: string, parameters: readonly unknown[]): Promise<DatabaseRow[]> {
    let number = 0;
    return this.execute(sql.replaceAll("?", () => this.dialect.mark((number += 1))), parameters);
  }

  async find(gid: string, branchId: string): Promise<Row> {
    const [found] = await this.#run("SELECT state, protocol, action, kind, result, reason, second_result FROM assent_barrier " +
      "WHERE gid = ? AND branch_id = ?", [gid, branchId]);
    if (!found) return NO_ROW;
    if (!Kept[found.state] || !Protocol[found.protocol] || !Kind[found.kind]) throw new Error(`assent_barrier: the row (${gid}, ${branchId}) is damaged`);
    return {
      state: found.state, protocol: found.protocol, action: found.action,
      first: new Reply(found.kind, found.result ?? undefined, found.reason ?? ""), secondResult: found.second_result ?? new Uint8Array(),
    };
  }

  async put(call: Call, state: Kept, first: Reply): Promise<void> {
    await this.#run("INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, second_result, coordinator_id, " +
      "began_epoch, touched_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      [call.gid, call.branchId, call.protocol, call.action, state, first.kind, Buffer.from(first.result), first.reason, Buffer.alloc(0),
        call.coordinatorId, String(BigInt.asIntN(64, call.beganEpoch)), Date.now()]);
  }

  async advance(gid: string, branchId: string, state: Kept, secondResult: Uint8Array = new Uint8Array()): Promise<void> {
    await this.#run("UPDATE assent_barrier SET state = ?, second_result = ?, touched_ms = ? WHERE gid = ? AND branch_id = ?",
      [state, Buffer.from(secondResult), Date.now(), gid, branchId]);
  }

  /** What is prepared, then what is old enough to go; the oldest first. */
  async held(olderThanMs: number, limit: number): Promise<Held[]> {
    const found = await this.#run(`SELECT gid, branch_id, coordinator_id, CAST(began_epoch AS ${this.dialect.text}) AS epoch FROM assent_barrier ` +
      "WHERE orphan = 0 AND (state = ? OR touched_ms < ?) ORDER BY CASE WHEN state = ? THEN 0 ELSE 1 END, touched_ms LIMIT ?",
      [Kept.PREPARED, Date.now() - olderThanMs, Kept.PREPARED, limit]);
    return found.map((row) => ({
      gid: row.gid, branchId: row.branch_id, coordinatorId: Number(row.coordinator_id), beganEpoch: BigInt.asUintN(64, BigInt(row.epoch)) }));
  }

  async forget(held: Held, upkeep: Upkeep, olderThanMs: number): Promise<void> {
    const head = upkeep === "orphan" ? "UPDATE assent_barrier SET orphan = 1" : "DELETE FROM assent_barrier";
    await this.#run(`${head} WHERE gid = ? AND branch_id = ? AND touched_ms < ?`, [held.gid, held.branchId, Date.now() - olderThanMs]);
  }

  async upkeep(held: Held, verdict: Verdict, finished: boolean): Promise<{ upkeep: Upkeep; row: Row }> {
    const row = await this.find(held.gid, held.branchId);
    return { upkeep: upkeepFor(row.state, row.protocol, verdict, finished), row };
  }
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

/**
 * One operation within the local transaction that `tx` and `table` are in; `execute` runs statements about savepoints. What the handler
 * wrote is undone with every answer but done. Whatever is thrown: roll the whole back.
 */
export async function runLocal<Tx extends LocalTransaction>(
  table: BarrierTable, action: Action<[tx: Tx, call: Call]>, tx: Tx, call: Call, execute: Execute): Promise<Reply> {
  const opening = openCall(call, await table.find(call.gid, call.branchId));
  if (opening.move === "bury") await table.put(call, Kept.TOMBSTONE, opening.reply);
  if (opening.move !== "run") return opening.reply;
  await execute("SAVEPOINT assent_handler");
  const reply = await runHandler(action, tx, call);
  if (!reply.isDone) await execute("ROLLBACK TO SAVEPOINT assent_handler");
  await execute("RELEASE SAVEPOINT assent_handler");
  const state = stateAfter(call, reply, reply.kind !== Kind.DONE_READ_ONLY);
  if (state !== Kept.NONE) {
    if (roleOf(call.operation) === "forward") await table.put(call, state, reply);
    else await table.advance(call.gid, call.branchId, state, reply.result);
  }
  return reply;
}

/** A verdict about prepared work, as the call that says the same. */
export function secondCall(held: Held, row: Row, verdict: Verdict): Call {
  const operation = verdict === Verdict.COMMIT ? Operation.COMMIT : Operation.ROLLBACK;
  return new Call({ ...held, operation, protocol: Protocol.TWO_PHASE, action: row.action });
}

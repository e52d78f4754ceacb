// Sees, from another connection, whose prepared work a handler waits for in PostgreSQL, if it waits for long. Everybody waits for older
// transactions only (participant-sdk/cpp/barrier/DESIGN.md), so that two that hold what the other wants do not stand still.

import { type Call, refused, type Reply, retryLater } from "./call.js";
import type { ServerConnection } from "./server-sql.js";
import { roleOf } from "./words.js";

const LOOK_EVERY_MS = 50;
const ASK_AGAIN_MS = 5; // where the coordinator's doubling of the wait starts for who was told that a row is taken
// Who waits for a row waits for the transaction that has it, which may itself wait for one that is prepared; who comes second waits for
// a lock on the row, which the first one has. The youngest one that is prepared.
const find = (schema: string): string => `WITH RECURSIVE waits(pid) AS (SELECT $1::int UNION
    SELECT other FROM waits, unnest(pg_blocking_pids(waits.pid)) other WHERE other <> 0)
  SELECT p.gid, a.began_unix_ms, a.coordinator_id, waits.pid = $1 AS direct FROM waits
    JOIN pg_locks l ON l.pid = waits.pid AND NOT l.granted AND l.locktype = 'transactionid'
    JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
    LEFT JOIN ${schema}assent_age a ON a.gid = split_part(p.gid, '/', 2) ORDER BY a.began_unix_ms DESC NULLS LAST LIMIT 1`;

interface Holder {
  readonly gid: string;
  readonly branchId: string;
  readonly beganUnixMs: number;
  readonly coordinatorId: number;
}

export class Watch {
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #ended = false;
  #holder: Holder | undefined;

  constructor(
    private readonly pid: number | undefined,
    private readonly schema: string,
    private readonly call: Call,
    private readonly withConnection: (look: (connection: ServerConnection) => Promise<void>) => Promise<void>,
  ) {
    if (pid !== undefined) this.#arm();
  }

  #arm(): void {
    this.#timer = setTimeout(() => {
      this.#looking = this.withConnection((connection) => this.#look(connection)).catch(() => undefined).then(() => {
        if (!this.#ended) this.#arm();
      });
    }, LOOK_EVERY_MS);
  }

  /** Afterwards it interrupts nothing any more. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  async #look(connection: ServerConnection): Promise<void> {
    if (this.#ended) return;
    const { rows } = await connection.query(find(this.schema), [this.pid]);
    if (this.#ended) return;
    const [prefix, gid, branchId] = String(rows[0]?.gid ?? "").split("/");
    const givesWay = gid === this.call.gid && !rows[0]?.direct; // what stands between
    this.#holder = prefix === "assent" && gid && branchId && !givesWay
      ? { gid, branchId, beganUnixMs: Number(rows[0]!.began_unix_ms ?? 0), coordinatorId: Number(rows[0]!.coordinator_id ?? 0) }
      : undefined;
    if (this.#holder && (this.#isYounger(this.#holder) || this.#holder.gid === this.call.gid)) {
      // It need not wait any longer to say so.
      await connection.query("SELECT pg_cancel_backend($1)", [this.pid]);
      this.#ended = true;
    }
  }

  /** The holder, than one who waits for it and holds something itself. What is not known is compared with nothing. */
  #isYounger(holder: Holder): boolean {
    const { call } = this;
    if (roleOf(call.operation) !== "forward" || call.onePhase || holder.beganUnixMs === 0 || call.beganUnixMs === 0) return false;
    if (call.beganUnixMs !== holder.beganUnixMs) return call.beganUnixMs < holder.beganUnixMs;
    return Buffer.compare(Buffer.from(call.gid), Buffer.from(holder.gid)) < 0;
  }

  /** To an operation that has waited in vain. */
  reply(error: string): Reply {
    const { call } = this;
    const holder = this.#holder;
    const forward = roleOf(call.operation) === "forward";
    if (!holder) return retryLater(`a row is locked by another transaction: ${error}`);
    if (holder.gid === call.gid && forward) return refused(`a row is held by branch ${holder.branchId} of this same transaction: let one branch write it`);
    const held = `a row is held by branch ${holder.branchId} of transaction ${holder.gid}, which is prepared`;
    const younger = this.#isYounger(holder);
    if (younger && holder.coordinatorId !== call.coordinatorId) {
      return refused(`${held}, younger, and of coordinator ${holder.coordinatorId}: an older transaction does not wait for it, or both might for ever`);
    }
    if (!forward || !call.beganUnixMs) return retryLater(held);
    return retryLater(held + (younger ? ", and younger" : ""), ASK_AGAIN_MS, holder.gid);
  }
}

// Sessions that have prepared something in MariaDB or MySQL (mysql.ts), by branch.
//
// What a session has prepared nobody else can settle until it has ended, and it can do nothing else meanwhile. So it is kept, for the
// COMMIT or ROLLBACK that most often comes soon, and to the same process. Another process ends it first.
//
// When a session ends, MariaDB calls its prepared work anybody's, and gives its named locks back, a moment before InnoDB lets go of it. An
// XA COMMIT (or ROLLBACK) in that moment is answered with OK, does nothing, and takes the name away, until the server is started again
// (10.11.19). Nothing tells that the moment is over: so what has no session is left alone for DETACH_TIME_MS after it was seen to have none.
// That is a guess at time, and no answer depends on it: what became of the work is looked at in the data.

import type { Call } from "./call.js";
import type { ServerConnection } from "./server-sql.js";

/** Of one adapter, at most; the pool may have room for fewer. Beyond it the oldest is ended, and its branch takes DETACH_TIME_MS longer. */
export const MAX_KEPT_SESSIONS = 32;
export const DETACH_TIME_MS = 250;
const REMEMBERED_MS = 600_000; // after which what nobody asks about any more is forgotten

export class XaSessions {
  readonly #kept = new Map<string, ServerConnection>(); // the oldest first
  readonly #detached = new Map<string, number>(); // since when they were seen to have no session
  readonly #most: number;
  #preparing = 0;

  /** `room`: how many connections of the pool may be kept, or prepare at this moment. */
  constructor(room: number) {
    this.#most = Math.max(0, Math.min(MAX_KEPT_SESSIONS, room));
  }

  /** Before a connection is taken, so that the pool has one. Ended by keep, or by endPreparing. */
  beginPreparing(): void {
    this.#preparing += 1;
    this.#endOldest(this.#most - this.#preparing);
  }

  endPreparing(): void {
    this.#preparing -= 1;
  }

  /** What has prepared the branch. */
  keep(call: Call, session: ServerConnection): void {
    this.#preparing -= 1;
    this.#kept.set(keyOf(call), session);
    this.#endOldest(this.#most);
  }

  #endOldest(most: number): void {
    for (const [branch, session] of this.#kept) {
      if (this.#kept.size <= most) return;
      this.#kept.delete(branch);
      session.release(true);
    }
  }

  /** Undefined: it is not here. */
  take(call: Call): ServerConnection | undefined {
    const session = this.#kept.get(keyOf(call));
    this.#kept.delete(keyOf(call));
    return session;
  }

  /** What the branch has prepared has no session. Returns when that has been seen for DETACH_TIME_MS. */
  async waitDetached(call: Call): Promise<void> {
    const now = performance.now();
    for (const [branch, since] of this.#detached) if (now - since > REMEMBERED_MS) this.#detached.delete(branch);
    const since = this.#detached.get(keyOf(call)) ?? now;
    this.#detached.set(keyOf(call), since);
    const end = since + DETACH_TIME_MS;
    // A timer may be a little early.
    for (let left = end - now; left > 0; left = end - performance.now()) await new Promise((resolve) => setTimeout(resolve, left));
  }

  forgetDetached(call: Call): void {
    this.#detached.delete(keyOf(call));
  }

  close(): void {
    for (const session of this.#kept.values()) session.release(true);
    this.#kept.clear();
  }
}

/** No gid or branch id has a slash. */
function keyOf(call: Call): string {
  return `${call.gid}/${call.branchId}`;
}

// The calls that a participant holds: who waits for each, and which may run.
//
// For one branch (gid, branchId) at most one call runs at any moment, and one operation of it is held at most once: a command for an
// operation that is held joins it and gets its answer.

import { type Call, type Reply, retryLater } from "./call.js";
import { sentenceOf } from "./errors.js";
import { Job } from "./service.js";

const MAX_SLOTS = 32768; // of one cluster

/** Who asked. Answered at most once. */
export interface Waiter {
  /** False: its connection is gone, and the answer would be of no use. */
  alive(): boolean;
  answer(call: Call, reply: Reply): void;
}

interface Entry {
  readonly call: Call;
  waiters: Waiter[];
  since: number;
}

export class Desk {
  /** Of each branch, the running one first. */
  readonly #lines = new Map<string, Entry[]>();
  #count = 0;
  /** The highest epoch seen of each slot of each log. */
  readonly #slotEpochs = new Map<string, bigint>();
  joined = 0;

  constructor(private readonly execute: (job: Job) => void, private readonly maxCalls: number) {}

  /**
   * False for a command of a coordinator that has lost the transaction's slot to another, and does not know. Remembered by this process
   * alone: it spares work that a barrier would refuse, and nothing rests on it.
   */
  heardFromOwner(coordinatorId: number, slot: number, epoch: bigint): boolean {
    if (epoch === 0n || slot >= MAX_SLOTS) return true;
    const key = `${coordinatorId}/${slot}`;
    if (epoch < (this.#slotEpochs.get(key) ?? 0n)) return false;
    this.#slotEpochs.set(key, epoch);
    return true;
  }

  /** False: there is no room, and nothing was taken. */
  ask(call: Call, waiter: Waiter): boolean {
    const key = JSON.stringify([call.gid, call.branchId]);
    const line = this.#lines.get(key);
    const held = line?.find((entry) => entry.call.operation === call.operation);
    if (held) {
      held.waiters.push(waiter);
      held.since = performance.now(); // its coordinator waits anew
      this.joined += 1;
      return true;
    }
    if (this.#count >= this.maxCalls) return false;
    this.#count += 1;
    const entry = { call, waiters: [waiter], since: performance.now() };
    if (line) {
      line.push(entry);
      return true;
    }
    this.#lines.set(key, [entry]);
    this.#run(key, entry);
    return true;
  }

  get size(): number {
    return this.#count;
  }

  #run(key: string, entry: Entry): void {
    const job = new Job(entry.call, (reply) => this.#finish(key, entry, reply), () => this.#isWanted(entry));
    try {
      this.execute(job);
    } catch (error) {
      job.answer(retryLater(sentenceOf(error))); // of a resource: nothing says that it has begun
    }
  }

  #isWanted(entry: Entry): boolean {
    entry.waiters = entry.waiters.filter((waiter) => waiter.alive());
    const { timeoutMs } = entry.call;
    return entry.waiters.length > 0 && (timeoutMs <= 0 || performance.now() - entry.since < timeoutMs);
  }

  #finish(key: string, entry: Entry, reply: Reply): void {
    const line = this.#lines.get(key)!;
    line.shift();
    this.#count -= 1;
    if (line.length === 0) this.#lines.delete(key);
    for (const waiter of entry.waiters) waiter.answer(entry.call, reply);
    // Not from within: a line of answers that come at once is no stack of calls.
    if (line.length > 0) queueMicrotask(() => this.#run(key, line[0]!));
  }
}

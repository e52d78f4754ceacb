// Hands what was published (outbox.ts) to the coordinator.
//
//     const relay = await new Relay(outbox).start();
//     …
//     await client.query("COMMIT");
//     relay.wake();                                                      // PostgreSQL tells it by itself
//
// A row is leased, handed over, and goes when it was answered. Nothing in between is kept anywhere else: a relay that dies leaves rows that
// another one takes when their lease ends, and hands over again under the same gid. Several at once are right, and share the work.

import { Client } from "./client.js";
import type { DialOptions } from "./dial.js";
import { AlreadyExists, AssentError, ConfigError, DeadlineExceeded, FailedPrecondition, InvalidArgument, NotAllowed, NotFound, sentenceOf, Unavailable, UnknownOutcome } from "./errors.js";
import type { Outbox } from "./outbox.js";
import { MAX_REQUEST_BYTES, type OutboxCounts, type OutboxTable, type Room, type Settled, type Taken } from "./outbox-sql.js";
import { readSubmit, submitBytes } from "./wire.js";
import { cut, WaitFor } from "./words.js";

const MAX_BATCH_BYTES = 16 * 1024 * 1024; // of requests that are under way; one alone may be larger
const INITIAL_BACKOFF_MS = 100; // of a row that was not answered; doubles each time
const MAX_BACKOFF_MS = 30_000;
const DATABASE_BACKOFF_MS = 5000; // at most, between two tries of a database that is away
const COUNT_EVERY_MS = 10_000;
const COUNT_BOUND = 100_000;
const GIVE_UP_AFTER_MS = 1000; // of failing, in one call: what waits, waits in the table
const OLD_MS = 60_000; // a row that waits for longer is worth a line of the log
const TOLD_EVERY_MS = 60_000;
/** What a row says whose transaction is under way. */
export const NOT_YET = "accepted, not complete yet";

export interface RelayOptions extends DialOptions {
  /** Rows that are handed over at once; half of them may be of keys, which may take long. 256. */
  readonly batch?: number;
  /** For so long nobody else takes what one has taken. A minute. */
  readonly leaseMs?: number;
  /** From when a row was taken; shorter than the lease. 30 s. */
  readonly callTimeoutMs?: number;
  /** Between two looks when there was nothing to do. 200 ms. */
  readonly pollMs?: number;
  /**
   * What was first handed over longer ago, and never answered, is asked for first: the coordinator may have forgotten it, and would run it
   * again. Shorter than the coordinator keeps what is finished (--retention-hours; and --retention-mib has to have room for as much). 12 hours.
   */
  readonly retentionGuardMs?: number;
  /** For what is under way at the end. 10 s. */
  readonly stopGraceMs?: number;
  /** One line for each change, "key=value"; never a payload. */
  readonly log?: (line: string) => void;
  /** @internal for tests: "taken", "answered", "settled". */
  readonly atPoint?: (point: string) => void;
}

export interface RelayStats {
  /** Handed over, and not answered. */
  readonly inFlight: number;
  /** Since the start: answered, their rows are gone. */
  readonly handedOver: number;
  /** Attempts without an answer. */
  readonly failed: number;
  readonly parked: number;
  /** As last counted, about every ten seconds. */
  readonly table: OutboxCounts | undefined;
}

const DEFAULTS = {
  batch: 256, leaseMs: 60_000, callTimeoutMs: 30_000, pollMs: 200, retentionGuardMs: 43_200_000, stopGraceMs: 10_000,
  log: (line: string): void => console.error(`assent: ${line}`),
};

/** Has one connection of the pool for as long as it runs. */
export class Relay {
  readonly #options: typeof DEFAULTS & RelayOptions;
  readonly #client: Client;
  readonly #underWay = new Map<number, Taken>();
  readonly #unaccepted = new Set<number>(); // ids of rows of which the coordinator has said nothing yet
  readonly #calls = new Set<Promise<void>>();
  readonly #giveUp = new AbortController();
  #settled: Settled[] = []; // and not written yet
  #probing = false; // it does not answer: one row at a time finds out when it does
  #databaseFailure = "";
  #counts: OutboxCounts | undefined;
  #countedAt = -Infinity;
  #toldAt = -Infinity;
  #handedOver = 0;
  #failed = 0;
  #parked = 0;
  #table: OutboxTable | undefined;
  #running: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #isStopping = false;
  #news = false;
  #rouse: () => void = () => undefined;

  constructor(private readonly outbox: Outbox, options: RelayOptions = {}) {
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    const all = this.#options = { ...DEFAULTS, ...Object.fromEntries(given) };
    if (!(all.batch >= 2)) throw new ConfigError(`batch is ${all.batch}; it must be at least 2`);
    if (!(all.callTimeoutMs > 0 && all.callTimeoutMs < all.leaseMs)) {
      throw new ConfigError(`callTimeoutMs is ${all.callTimeoutMs}; it must be more than 0, and less than leaseMs, which is ${all.leaseMs}`);
    }
    if (!(all.pollMs > 0 && all.retentionGuardMs > 0 && all.stopGraceMs >= 0)) throw new ConfigError("pollMs and retentionGuardMs must be more than 0, stopGraceMs 0 or more");
    this.#client = new Client({ ...options, retry: { giveUpAfterMs: GIVE_UP_AFTER_MS } });
  }

  /** Begins. What cannot be done now (no database, no coordinator) is logged, and tried again. */
  async start(): Promise<this> {
    if (this.#running) throw new FailedPrecondition("the relay was started before; make another one");
    this.#running = this.#run();
    return this;
  }

  /** After a commit in this process: it looks at once. */
  wake(): void {
    this.#news = true;
    this.#rouse();
  }

  stats(): RelayStats {
    return { inFlight: this.#underWay.size, handedOver: this.#handedOver, failed: this.#failed, parked: this.#parked, table: this.#counts };
  }

  /** Takes nothing more, waits for what is under way, and leaves the rest in the table. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    this.wake();
    const grace = after(this.#options.stopGraceMs);
    const answers = await Promise.race([Promise.resolve(this.#running).then(() => true), grace.then(() => false)]); // the database does
    await Promise.race([Promise.all(this.#calls), grace]);
    this.#giveUp.abort(new Error("the relay was stopped before there was an answer"));
    await Promise.all(this.#calls);
    grace.clear();
    // What cannot be written is handed over again.
    if (answers && this.#settled.length > 0) await this.#turnOfTable({ plain: 0, keyed: 0, bytes: 0 }).catch(() => undefined);
    this.#closeTable();
    this.#client.close();
  }

  // ---- turns

  async #run(): Promise<void> {
    let pause = INITIAL_BACKOFF_MS;
    while (!this.#isStopping) {
      this.#news = false;
      try {
        const more = await this.#turn();
        pause = INITIAL_BACKOFF_MS;
        if (!more) await this.#idle(this.#options.pollMs);
      } catch (error) {
        // Rows that were taken are taken again when their lease ends.
        this.#closeTable();
        this.#sayDatabase(sentenceOf(error));
        for (const end = performance.now() + pause; !this.#isStopping && performance.now() < end; ) {
          this.#news = false; // no news helps here
          await this.#idle(end - performance.now());
        }
        pause = Math.min(pause * 2, DATABASE_BACKOFF_MS);
      }
    }
  }

  async #turn(): Promise<boolean> {
    const { rows, more } = await this.#turnOfTable(this.#room());
    this.#sayDatabase("");
    this.#options.atPoint?.("settled");
    const takenAt = now();
    if (rows.length > 0) this.#options.atPoint?.("taken");
    for (const row of rows) {
      this.#unaccepted.add(row.id);
      this.#underWay.set(row.id, row);
      const call = this.#handOver(row, takenAt).finally(() => {
        this.#unaccepted.delete(row.id);
        this.#underWay.delete(row.id);
        this.#calls.delete(call);
        this.wake();
      });
      this.#calls.add(call);
    }
    if (performance.now() - this.#countedAt >= COUNT_EVERY_MS) {
      this.#countedAt = performance.now();
      this.#counts = await this.#table!.count(COUNT_BOUND);
      this.#sayCounts(this.#counts);
    }
    return more && rows.length > 0;
  }

  /** Rows of keys may take long: they leave half of the room to the others. */
  #room(): Room {
    const underWay = [...this.#underWay.values()];
    const keyed = underWay.filter(({ key }) => key !== undefined).length;
    const left = MAX_BATCH_BYTES - underWay.reduce((sum, { request }) => sum + (request?.length ?? 0), 0);
    const half = Math.floor(this.#options.batch / 2);
    if (this.#probing) {
      const one = this.#unaccepted.size > 0 ? 0 : 1;
      return { plain: one, keyed: keyed < half ? one : 0, bytes: Math.max(left, 1) };
    }
    if (left <= 0) return { plain: 0, keyed: 0, bytes: 0 };
    return { plain: this.#options.batch - half - (underWay.length - keyed), keyed: half - keyed, bytes: left };
  }

  async #idle(ms: number): Promise<void> {
    if (this.#news) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#rouse = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#rouse = () => undefined;
  }

  async #openTable(): Promise<OutboxTable> {
    if (this.#table) return this.#table;
    const table = await this.outbox.openTable();
    try {
      await table.create();
      await table.session.listen(() => this.wake());
    } catch (error) {
      table.session.end();
      throw error;
    }
    this.#table = table;
    return table;
  }

  async #turnOfTable(room: Room): Promise<{ rows: Taken[]; more: boolean }> {
    const settled = this.#settled;
    this.#settled = [];
    try {
      return await (await this.#openTable()).turn(settled, room, this.#options.leaseMs);
    } catch (error) {
      this.#settled = [...settled, ...this.#settled]; // said again: it may have happened, or not
      throw error;
    }
  }

  #closeTable(): void {
    this.#table?.session.end();
    this.#table = undefined;
  }

  // ---- the coordinator

  async #handOver(row: Taken, takenAt: number): Promise<void> {
    let settled: Settled;
    try {
      settled = await this.ask(row, takenAt + this.#options.callTimeoutMs);
    } catch (error) {
      // Of one row: it is said there, and the others go on.
      if (error instanceof Unavailable || error instanceof UnknownOutcome || error instanceof NotAllowed) this.#probing = true;
      settled = this.#giveUp.signal.aborted ? { row, laterMs: 0, error: cut(sentenceOf(this.#giveUp.signal.reason)) } : conclude(row, error);
    }
    if (settled.parked !== undefined) {
      this.#parked += 1;
      this.#options.log(`a row of the outbox waits for a person gid=${JSON.stringify(row.gid)} reason=${JSON.stringify(settled.parked)}`);
    } else if (settled.laterMs === undefined) {
      this.#handedOver += 1;
      this.#options.atPoint?.("answered");
    } else if (settled.error !== NOT_YET) this.#failed += 1;
    this.#settled.push(settled);
  }

  /** @internal `end`: on the clock of now(). */
  async ask(row: Taken, end: number): Promise<Settled> {
    const wrong = whatIsWrong(row);
    if (wrong) return { row, parked: wrong };
    // A process that was stopped for long must not say what others have said, and the coordinator has forgotten, since.
    if (end - now() <= 0) return { row, laterMs: 0, error: "the relay stood still for longer than a call may take", neverSent: true };
    const options = { timeoutMs: end - now(), signal: this.#giveUp.signal };
    if (row.firstAttemptAgeMs > this.#options.retentionGuardMs) {
      try {
        await this.#client.get(row.gid, options);
      } catch (error) {
        if (!(error instanceof NotFound)) throw error;
        const hours = (row.firstAttemptAgeMs / 3_600_000).toFixed(1);
        return { row, parked: `the coordinator does not know it, and it was first handed over ${hours} h ago: it may have run, and been forgotten` };
      }
    } else {
      const request = submitBytes(row.request!, WaitFor.ACCEPTED);
      await this.#client.carryOut("SubmitBytes", request, row.gid, `Submit of transaction ${row.gid}`, options.timeoutMs, options);
    }
    this.#probing = false;
    this.#unaccepted.delete(row.id);
    if (row.key === undefined) return { row };
    try {
      await this.#client.wait(row.gid, { wait: WaitFor.COMPLETED, timeoutMs: Math.max(end - now(), 1), signal: this.#giveUp.signal });
    } catch (error) {
      if (error instanceof DeadlineExceeded) return { row, laterMs: 0, error: NOT_YET };
      if (error instanceof AssentError && !(error instanceof NotFound)) return { ...conclude(row, error), neverSent: false }; // it was handed over all the same
      if (!(error instanceof NotFound)) throw error;
      // It is over, and forgotten.
    }
    return { row };
  }

  // ---- what it says

  #sayDatabase(failure: string): void {
    if (failure && !this.#databaseFailure) this.#options.log(`the outbox cannot be read error=${JSON.stringify(failure)}`);
    if (!failure && this.#databaseFailure) this.#options.log("the outbox can be read again");
    this.#databaseFailure = failure;
  }

  #sayCounts({ waiting, isMore, parked, unknown, oldestAgeMs }: OutboxCounts): void {
    if (performance.now() - this.#toldAt < TOLD_EVERY_MS || (parked === 0 && oldestAgeMs <= OLD_MS)) return;
    this.#toldAt = performance.now();
    this.#options.log(`the outbox needs a look waiting=${waiting}${isMore ? "+" : ""} parked=${parked} unknown=${unknown} oldest_seconds=${Math.round(oldestAgeMs / 1000)}`);
  }
}

/** Milliseconds, of which none is missing when the process was stopped or the machine asleep. */
export function now(): number {
  ahead = Math.max(ahead, Date.now() - performance.now());
  return performance.now() + ahead;
}
let ahead = -Infinity;

function backoff(attempts: number): number {
  return Math.min(INITIAL_BACKOFF_MS * 2 ** Math.min(attempts - 1, 20), MAX_BACKOFF_MS) * (0.5 + Math.random() / 2);
}

/** Why a person has to look at it. */
function whatIsWrong(row: Taken): string | undefined {
  if (!row.request) return `its request is no bytes, or more than ${MAX_REQUEST_BYTES}`;
  let gid: string;
  try {
    gid = readSubmit(row.request);
  } catch (error) {
    return cut(`its request is no assent.v1.SubmitRequest: ${sentenceOf(error)}`);
  }
  if (!gid) return "its request has no gid";
  return gid === row.gid ? undefined : `its gid is ${row.gid}, that of its request ${cut(gid, 100)}`;
}

/** What an attempt that was not answered means. */
function conclude(row: Taken, error: unknown): Settled {
  const text = cut(sentenceOf(error));
  if (error instanceof AlreadyExists || error instanceof InvalidArgument) return { row, parked: text };
  return { row, laterMs: backoff(row.attempts), error: text, neverSent: error instanceof Unavailable };
}

function after(ms: number): Promise<void> & { clear(): void } {
  let timer: NodeJS.Timeout;
  const waited = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  return Object.assign(waited, { clear: () => clearTimeout(timer) });
}

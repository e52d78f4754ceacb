// How a client's call is repeated, and where. What it asks of the world is a Transport: neither gRPC nor a clock are here.
//
// Everything that is sent is idempotent by gid, so it may always be sent again. What must never happen is that something which may have
// been done is called not done, or done a second time at a coordinator of another log.

import { DeadlineExceeded, FINAL, giveUp, NOT_SERVED, NotAllowed, Unavailable } from "./errors.js";
import { type Message, type MethodName, unsignedOf } from "./wire.js";

const CONNECT_PATIENCE_MS = 1000; // for a connection, where another coordinator could be tried instead
const MAP_PATIENCE_MS = 2000;
const MAP_AGE_MS = 5000; // so old a map is asked for again, with the next call
const LOOK_AGAIN_MS = 500; // after a failure, if the map is older
const MAX_MAP_MEMBERS = 1024;

/** How what failed without an answer is repeated. */
export interface Retry {
  /** Doubles each time, with full jitter. 20 ms. */
  readonly initialBackoffMs: number;
  /** 1 s. */
  readonly maxBackoffMs: number;
  /** Of failing, whatever the call's timeout; 0: never repeat. 10 s. */
  readonly giveUpAfterMs: number;
}

/** To be done: one call at one endpoint. It is made only when there is a connection, for which it waits `patienceMs`. */
export interface Ask {
  readonly endpoint: string;
  readonly method: MethodName;
  readonly request: Message;
  readonly timeoutMs: number;
  readonly patienceMs: number;
}

/**
 * How an Ask ended. `code`: gRPC's name of it. `contacted`: its bytes may have reached a coordinator; only our own side's knowledge
 * sets it to false, never what a status says.
 */
export interface Attempt {
  readonly code: string;
  readonly message?: string;
  readonly reply?: Message;
  readonly contacted: boolean;
  /** Who has the transaction, as the answer says. */
  readonly owner?: string;
  readonly retryAfterMs?: number;
}

export interface Transport {
  ask(ask: Ask, signal?: AbortSignal): Promise<Attempt>;
  /** Returns early when the signal is aborted. */
  pause(ms: number, signal?: AbortSignal): Promise<void>;
  now(): number;
}

/** FNV-1a, 64 bits. */
export function slotOf(gid: string, slots: number): number {
  let value = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(gid)) value = ((value ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return Number(value % BigInt(slots));
}

/** Which coordinators there are, and who has which transactions, as far as it is known. */
export class Routes {
  endpoints: string[];
  /** They are known to be coordinators of one log: what may have been done at one can be asked of another. */
  shared = false;
  lookedAt: number | undefined;
  #owners: number[] = [];
  #byPlace: string[] = [];
  #version: [bigint, bigint] = [0n, 0n];

  constructor(private readonly seeds: readonly string[]) {
    this.endpoints = [...seeds];
  }

  /** What `endpoint` says of itself and the others (ClusterService.Get). */
  learn(endpoint: string, view: Message): void {
    const version: [bigint, bigint] = [unsignedOf(view.generation), unsignedOf(view.version)];
    if (version[1] === 0n) {
      // It shares its log with nobody, so none of the others can do its work.
      if (!this.shared) this.endpoints = [endpoint];
      return;
    }
    const [generation, number] = this.#version;
    const isOlder = version[0] < generation || (version[0] === generation && version[1] < number);
    const { slots, members: all, departed } = view;
    if (isOlder || slots.length === 0 || slots.length % 2 !== 0 || all.length === 0 || all.length > MAX_MAP_MEMBERS) return;
    const members: string[] = all.map((member: Message) => member.address);
    const left = new Set<string>(departed.map((member: Message) => member.address).filter((address: string) => !members.includes(address)));
    this.#version = version;
    this.shared = true;
    this.endpoints = [...new Set([...members, ...this.seeds.filter((seed) => !left.has(seed))])];
    this.#owners = Array.from({ length: slots.length / 2 }, (_, at) => slots[2 * at] | (slots[2 * at + 1] << 8));
    this.#byPlace = members;
  }

  /** The owner first, if it is known. */
  inOrder(gid: string): string[] {
    if (this.#owners.length === 0) return this.endpoints;
    const place = this.#owners[slotOf(gid, this.#owners.length)]!;
    const owner = this.#byPlace[place - 1];
    return owner === undefined ? this.endpoints : [...new Set([owner, ...this.endpoints])];
  }
}

/**
 * The endpoints that one call tries: each of them once, then it should wait, and so on.
 *
 * What may have been done at an endpoint is repeated there alone, until it is known who shares its log.
 */
export class Tour {
  contacted = false;
  #tried: string[] = [];
  #last = "";
  #moved = "";

  constructor(private readonly gid: string) {}

  #open(routes: Routes): string[] {
    if (this.#moved && !this.#tried.includes(this.#moved)) return [this.#moved];
    if (this.contacted && !routes.shared) return [];
    return routes.inOrder(this.gid).filter((endpoint) => !this.#tried.includes(endpoint));
  }

  next(routes: Routes): string {
    let choice = this.#open(routes)[0];
    if (choice === undefined && this.contacted && !routes.shared) choice = this.#last;
    if (choice === undefined) {
      this.rest();
      choice = this.#open(routes)[0]!;
    }
    this.#moved = "";
    this.#tried.push(choice);
    this.#last = choice;
    return choice;
  }

  moreNow(routes: Routes): boolean {
    return this.#open(routes).length > 0;
  }

  moved(endpoint: string): void {
    this.#moved = endpoint;
  }

  rest(): void {
    this.#tried = [];
  }
}

/** One call of a client, ready to be made. */
export interface Prepared {
  readonly method: MethodName;
  readonly request: Message;
  readonly gid: string;
  readonly what: string;
  readonly timeoutMs: number;
  readonly readOnly: boolean;
}

/** Asks, in turn, who shares the log, until somebody has said it. */
async function look(routes: Routes, tour: Tour, gid: string, deadline: number, transport: Transport, signal?: AbortSignal): Promise<void> {
  for (const endpoint of [...routes.inOrder(gid)]) {
    const patienceMs = Math.min(CONNECT_PATIENCE_MS, Math.max(deadline - transport.now(), 0));
    const attempt = await transport.ask({ endpoint, method: "Cluster", request: {}, timeoutMs: MAP_PATIENCE_MS, patienceMs }, signal);
    if (attempt.code === "OK") routes.learn(endpoint, attempt.reply!);
    if (attempt.code === "OK" || NOT_SERVED.includes(attempt.code)) {
      // The latter: too old to be asked, or not for us to know.
      routes.lookedAt = transport.now();
      return;
    }
    if (transport.now() >= deadline || signal?.aborted || (tour.contacted && !routes.shared)) return;
  }
}

/** One call, repeated wherever and as long as that may help. Gives the reply, or throws what errors.ts has. */
export async function carryOut(routes: Routes, call: Prepared, retry: Retry, transport: Transport, signal?: AbortSignal): Promise<Message> {
  const { gid, what, timeoutMs, readOnly } = call;
  const deadline = transport.now() + timeoutMs;
  const tour = new Tour(gid);
  let maybeDone = false;
  let failingSince: number | undefined;
  let backoffMs = retry.initialBackoffMs;
  let last = "nothing was tried";
  for (;;) {
    if (signal?.aborted) {
      if (maybeDone) throw giveUp(what, gid, true, `it was given up here; ${last}`, { cause: signal.reason });
      throw signal.reason;
    }
    if (routes.lookedAt === undefined || transport.now() - routes.lookedAt > MAP_AGE_MS) {
      await look(routes, tour, gid, deadline, transport, signal);
      if (signal?.aborted) continue;
    }
    const endpoint = tour.next(routes);
    const left = Math.max(deadline - transport.now(), 0);
    let patienceMs = tour.moreNow(routes) || retry.giveUpAfterMs === 0 ? Math.min(CONNECT_PATIENCE_MS, left) : left;
    if (retry.giveUpAfterMs > 0) patienceMs = Math.min(patienceMs, retry.giveUpAfterMs);
    const attempt = await transport.ask({ endpoint, method: call.method, request: call.request, timeoutMs: left, patienceMs }, signal);
    if (attempt.code === "OK") return attempt.reply!;
    last = `${attempt.code}: ${attempt.message ?? ""}`;
    if (attempt.contacted) {
      tour.contacted = true;
      maybeDone ||= !readOnly;
      const Final = FINAL[attempt.code];
      if (Final) throw new Final(`${what}: ${attempt.message}`);
      if (NOT_SERVED.includes(attempt.code)) throw readOnly ? new NotAllowed(`${what}: ${last}`) : giveUp(what, gid, true, last);
    }
    if (signal?.aborted) continue;
    if (attempt.owner) tour.moved(attempt.owner);
    if (transport.now() - (routes.lookedAt ?? 0) > LOOK_AGAIN_MS) routes.lookedAt = undefined; // whoever failed may have lost what it had
    failingSince ??= transport.now();
    if (transport.now() >= deadline) {
      if (readOnly) throw new DeadlineExceeded(`${what} had no answer within ${timeoutMs} ms; last error: ${last}`);
      throw giveUp(what, gid, maybeDone, last);
    }
    if (attempt.code !== "RESOURCE_EXHAUSTED" && tour.moreNow(routes)) continue;
    if (transport.now() - failingSince >= retry.giveUpAfterMs) {
      if (readOnly && attempt.contacted) throw new Unavailable(`${what} has changed nothing, and had no answer: ${last}`);
      throw giveUp(what, gid, maybeDone, last);
    }
    await transport.pause(Math.min(Math.max(Math.random() * backoffMs, attempt.retryAfterMs ?? 0), deadline - transport.now()), signal);
    backoffMs = Math.min(backoffMs * 2, retry.maxBackoffMs);
    tour.rest();
  }
}

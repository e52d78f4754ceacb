// What the sessions of one participant have in common: options, who is dialled, and questions about what is held.

import { hostname } from "node:os";
import type { Held } from "./barrier.js";
import { Desk } from "./desk.js";
import { checkEndpoint, Dialling, type DialOptions, endpointsOf } from "./dial.js";
import { ConfigError, sentenceOf } from "./errors.js";
import { Dispatcher, type Resource, type Service } from "./service.js";
import { Counters, type Session } from "./session.js";
import { AGENT } from "./version.js";
import type { Message } from "./wire.js";
import { cut, MAX_NAME_BYTES, type Verdict } from "./words.js";

const MAX_MEMBERS = 32; // of one cluster: more are not dialled
const MIN_SHARE = 32; // commands in flight for each of several coordinators, at the least
const QUESTIONS_AT_ONCE = 256;

export interface ParticipantOptions extends DialOptions {
  /** Tells instances apart in `assentctl participants`; empty: host name and process id. */
  readonly instance?: string;
  /** Plain handlers that run at once. 16. */
  readonly workers?: number;
  /** Commands that a coordinator may have unanswered here; several share it. 1024. */
  readonly maxInFlight?: number;
  /** All coordinators together; one more is answered "retry later". 8192. */
  readonly maxQueuedCalls?: number;
  /** Before dialling again: doubles each time, with full jitter. 50 ms. */
  readonly initialBackoffMs?: number;
  /** 2 s. */
  readonly maxBackoffMs?: number;
  /** And on each connection. 5 s. */
  readonly questionIntervalMs?: number;
  /** How long running handlers may take before it leaves without their answers. 10 s. */
  readonly stopGraceMs?: number;
  /** State changes, one line each, "key=value"; never a payload. Not given: console.error. Silent: `() => {}`. */
  readonly log?: (line: string) => void;
}

const DEFAULTS = {
  instance: "", workers: 16, maxInFlight: 1024, maxQueuedCalls: 8192, initialBackoffMs: 50, maxBackoffMs: 2000, questionIntervalMs: 5000,
  stopGraceMs: 10_000, log: (line: string): void => console.error(`assent: ${line}`),
};
const LEAST = {
  workers: 1, maxInFlight: 1, maxQueuedCalls: 1, initialBackoffMs: 0, maxBackoffMs: 0, questionIntervalMs: 10, stopGraceMs: 0,
} as const;

export class Roster {
  readonly options: typeof DEFAULTS;
  readonly dispatcher: Dispatcher;
  readonly dialling: Dialling;
  readonly desk: Desk;
  readonly counters = new Counters();
  readonly #seeds: string[];
  /** Members, by coordinator id. */
  readonly #maps = new Map<number, string[]>();
  #holders = new Map<string, Resource>();
  #turn = 0;
  /** By endpoint: the last failure that was logged. */
  readonly #told = new Map<string, string>();

  /** ConfigError for what is wrong. */
  constructor(readonly service: Service, options: ParticipantOptions) {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.options = { ...DEFAULTS, ...given };
    for (const [name, least] of Object.entries(LEAST)) {
      const value = this.options[name as keyof typeof LEAST];
      if (!(value >= least)) throw new ConfigError(`${name} is ${value}; it must be at least ${least}`);
    }
    if (Buffer.byteLength(this.options.instance) > MAX_NAME_BYTES) throw new ConfigError(`instance is too long; at most ${MAX_NAME_BYTES} bytes`);
    this.dispatcher = new Dispatcher(service, this.options.workers);
    this.#seeds = endpointsOf(options.endpoints);
    this.dialling = new Dialling(options, this.#seeds);
    this.desk = new Desk((job) => this.dispatcher.execute(job), this.options.maxQueuedCalls);
  }

  log(line: string): void {
    this.options.log(line);
  }

  /** One line for each change, not for each attempt. */
  logFailure(endpoint: string, wasOpen: boolean, failure: string): void {
    const line = `${wasOpen ? "disconnected" : "not connected"} endpoint=${endpoint} reason=${JSON.stringify(failure)}`;
    if (wasOpen || this.#told.get(endpoint) !== line) this.log(line);
    this.#told.set(endpoint, line);
  }

  hello(endpoint: string): Message {
    const members = [...this.#maps.values()].find((map) => map.includes(endpoint))?.length ?? 1;
    const { maxInFlight, instance } = this.options;
    return {
      version: 1, service: this.service.name, agent: AGENT,
      maxInFlight: Math.max(Math.floor(maxInFlight / Math.max(members, 1)), Math.min(MIN_SHARE, maxInFlight)),
      instance: instance || cut(`${hostname()}-${process.pid}`, MAX_NAME_BYTES),
      actions: [...this.dispatcher.owners.values()].map(({ name, protocol }) => ({ name, protocol })),
    };
  }

  deliver(held: Held, verdict: Verdict, finished: boolean): void {
    const key = JSON.stringify([held.gid, held.branchId]);
    const resource = this.#holders.get(key);
    this.#holders.delete(key);
    resource?.answer(held, verdict, finished).catch((error) => {
      // Asked again in the next round.
      this.log(`the answer about branch ${held.branchId} of transaction ${held.gid} was not carried out: ${sentenceOf(error)}`);
    });
  }

  /**
   * Asks one of the coordinators of the log in which each transaction began, and another one next round; if none of that log is
   * connected, all that are.
   */
  async askRound(all: Session[]): Promise<void> {
    const sessions = all.filter((session) => session.open);
    if (sessions.length === 0) return;
    const turn = (this.#turn += 1);
    this.#holders = new Map();
    for (const resource of this.service.resources) {
      let questions: Held[];
      try {
        questions = await resource.questions(QUESTIONS_AT_ONCE);
      } catch (error) {
        this.log(`no questions asked: ${sentenceOf(error)}`);
        continue;
      }
      for (const held of questions) {
        this.#holders.set(JSON.stringify([held.gid, held.branchId]), resource);
        const ofLog = sessions.filter((session) => session.coordinatorId === held.coordinatorId);
        for (const session of ofLog.length > 0 ? [ofLog[turn % ofLog.length]!] : sessions) session.question(held);
      }
    }
  }

  /** Who shares the log, as one of them says. */
  learn(coordinatorId: number, view: Message): void {
    const members: string[] = [];
    for (const { address } of view.members.slice(0, MAX_MEMBERS)) {
      try {
        checkEndpoint(address);
        members.push(address);
      } catch {
        this.log("a member's address cannot be dialled");
      }
    }
    if (members.length > 0) this.#maps.set(coordinatorId, members);
  }

  /** The endpoints that were given are kept, since an address that a member says of itself may lead nowhere from here. */
  wanted(): string[] {
    return [...new Set([...this.#seeds, ...[...this.#maps.values()].flat()])];
  }
}

/** Waits that double, each with full jitter. */
export class Backoff {
  #next: number;

  constructor(private readonly initialMs: number, private readonly maxMs: number) {
    this.#next = initialMs;
  }

  reset(): void {
    this.#next = this.initialMs;
  }

  next(): number {
    const wait = Math.random() * this.#next;
    this.#next = Math.min(this.#next * 2, this.maxMs);
    return wait;
  }
}

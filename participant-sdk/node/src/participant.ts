// For services: own branches of transactions.
//
//     await new Participant(service).run();                     // until SIGTERM or SIGINT
//
// It dials the coordinator (several, if there are several), keeps the connection, and needs no port. An exception of a handler is a
// failed attempt, never the end of the process; two operations of one branch never run at the same time in one process; a command that
// comes again while the first is running gets the first one's answer.

import * as grpc from "@grpc/grpc-js";
import { DeadlineExceeded, FailedPrecondition, sentenceOf } from "./errors.js";
import { Backoff, type ParticipantOptions, Roster } from "./roster.js";
import type { Service } from "./service.js";
import { type Counters, Session } from "./session.js";
import { whyFailed } from "./why.js";
import { type Message, METHODS } from "./wire.js";

const TICK_MS = 200;

/** Keeps a session with one endpoint: dials, talks, waits, dials again. */
class Link {
  session: Session | undefined;
  failure = "not tried yet";
  /** It leads nowhere any more: not dialled again when its session has ended. */
  retired = false;
  ended = false;
  readonly done: Promise<void>;
  #call: grpc.ClientDuplexStream<Message, Message> | undefined;

  constructor(private readonly owner: Participant, private readonly roster: Roster, readonly endpoint: string) {
    this.done = this.#run().finally(() => {
      this.ended = true;
      owner.changed();
    });
  }

  async #run(): Promise<void> {
    const { initialBackoffMs, maxBackoffMs } = this.roster.options;
    const backoff = new Backoff(initialBackoffMs, maxBackoffMs);
    while (!this.owner.stopping && !this.retired) {
      if (this.owner.isSpare(this)) {
        await this.owner.pause(TICK_MS);
        continue;
      }
      this.failure = await this.#converse();
      const session = this.session!;
      this.owner.changed();
      if (session.wasGood) backoff.reset();
      const wait = backoff.next();
      if (this.owner.stopping || this.retired) break;
      this.roster.logFailure(this.endpoint, session.openedAt !== undefined, this.failure);
      await this.owner.pause(wait);
    }
  }

  /** What it ended with. */
  #converse(): Promise<string> {
    return new Promise((resolve) => {
      let client: grpc.Client | undefined;
      let watch: grpc.ClientReadableStream<Message> | undefined;
      let pumping = false;
      let full = false;
      const finish = (failure: string): void => {
        session.close();
        watch?.cancel();
        this.#call?.cancel();
        client?.close();
        resolve(failure);
      };
      const pump = (): void => {
        pumping = false;
        for (let frame; !full && (frame = session.nextFrame()); ) full = !call.write(frame);
        if (!full && session.finished) call.end();
      };
      const wake = (): void => {
        // Answers of one turn of the event loop share a frame.
        if (!pumping) setImmediate(pump);
        pumping = true;
      };
      const { desk, counters } = this.roster;
      const session = new Session({
        endpoint: this.endpoint, hello: this.roster.hello(this.endpoint), desk, counters, wake,
        deliver: (held, verdict, finished) => this.roster.deliver(held, verdict, finished), log: (line) => this.roster.log(line),
      });
      this.session = session;
      let call: grpc.ClientDuplexStream<Message, Message>;
      try {
        const metadata = this.roster.dialling.metadata(this.endpoint);
        client = this.roster.dialling.connect(this.endpoint);
        const { path, requestSerialize, responseDeserialize } = METHODS.Connect;
        call = this.#call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
      } catch (error) {
        finish(sentenceOf(error));
        return;
      }
      call.on("data", (frame: Message) => {
        try {
          const wasOpen = session.openedAt !== undefined;
          session.onFrame(frame);
          if (!wasOpen) watch = this.#onWelcome(session, client!);
        } catch (error) {
          finish(`the coordinator at ${this.endpoint} does not keep to the protocol: ${sentenceOf(error)}`);
        }
      });
      call.on("drain", () => {
        full = false;
        pump();
      });
      call.on("error", () => undefined); // its status comes, too
      call.on("status", ({ code, details }: grpc.StatusObject) => {
        const why = (): string => whyFailed(grpc.status[code], details, this.roster.dialling.isSecure(this.endpoint));
        finish(session.complaint() ?? (code === grpc.status.OK ? "the coordinator ended the session" : why()));
      });
      wake();
    });
  }

  /** Follows who shares the log, for as long as the session stands. */
  #onWelcome(session: Session, client: grpc.Client): grpc.ClientReadableStream<Message> | undefined {
    if (this.owner.isSpare(this)) {
      session.stop();
      return undefined;
    }
    this.owner.changed();
    this.owner.askSoon();
    if (!session.clustered) return undefined;
    const { path, requestSerialize, responseDeserialize } = METHODS.WatchCluster;
    const watch = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {}, this.roster.dialling.metadata(this.endpoint));
    watch.on("error", () => undefined); // it ends with the session, or the next one asks again
    watch.on("data", (view: Message) => {
      this.roster.learn(session.coordinatorId, view);
      this.owner.dialWanted();
    });
    return watch;
  }

  tick(): void {
    if (this.session?.complaint()) this.abandon();
  }

  abandon(): void {
    this.#call?.cancel();
  }
}

export class Participant {
  /** For the links. @internal */
  stopping = false;
  #roster: Roster | undefined;
  readonly #links = new Map<string, Link>();
  #waiting: (() => void)[] = [];
  #pauses = new Set<() => void>();
  #ticker: NodeJS.Timeout | undefined;
  #nextQuestions = 0;
  #asking = false;
  #stopped: Promise<void> | undefined;

  /** What is wrong with the options, or with the actions, is a ConfigError of `start`. */
  constructor(private readonly service: Service, private readonly options: ParticipantOptions = {}) {}

  /** Begins to dial: an unreachable coordinator is no failure, it is dialled until it is reached. */
  async start(): Promise<this> {
    if (this.#roster) throw new FailedPrecondition("the participant was started before; make another one");
    const roster = (this.#roster = new Roster(this.service, this.options));
    try {
      await roster.dispatcher.start();
    } catch (error) {
      this.#roster = undefined; // it may be tried again
      throw error;
    }
    if (this.stopping) return this;
    this.dialWanted();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    return this;
  }

  /** Until at least one coordinator has welcomed us. DeadlineExceeded says what the last attempt met. */
  async waitConnected(timeoutMs = 10_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (this.connected === 0) {
      const left = end - performance.now();
      if (left <= 0) {
        const failures = [...this.#links.values()].map((link) => `${link.endpoint}: ${link.failure}`).join("; ");
        throw new DeadlineExceeded(`no coordinator within ${timeoutMs} ms: ${failures}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Says goodbye, answers what it has, leaves. Done when that is done, or the grace is over. Not from a handler. */
  stop(): Promise<void> {
    if (this.#roster) this.#stopped ??= this.#leave(this.#roster);
    return this.#stopped ?? Promise.resolve();
  }

  async #leave(roster: Roster): Promise<void> {
    this.stopping = true;
    for (const end of this.#pauses) end();
    const links = [...this.#links.values()];
    for (const link of links) {
      if (link.session?.open) link.session.stop();
      else if (link.session?.openedAt === undefined) link.abandon(); // nothing was asked of us yet
    }
    const all = Promise.all(links.map((link) => link.done));
    const grace = setTimeout(() => links.forEach((link) => link.abandon()), roster.options.stopGraceMs);
    await all;
    clearTimeout(grace);
    clearInterval(this.#ticker);
    await roster.dispatcher.close((line) => roster.log(line));
  }

  /** Starts, and stops when SIGTERM or SIGINT comes, or the signal is aborted; a second SIGTERM or SIGINT ends the process at once. */
  async run(options: { signal?: AbortSignal } = {}): Promise<void> {
    await runUntilEnded(this, options.signal);
  }

  get counters(): Readonly<Counters> {
    if (!this.#roster) throw new FailedPrecondition("the participant is not started");
    return this.#roster.counters;
  }

  /** Coordinators that have welcomed us. */
  get connected(): number {
    return this.#sessions().filter((session) => session.open).length;
  }

  #sessions(): Session[] {
    return [...this.#links.values()].flatMap((link) => link.session ?? []);
  }

  #tick(): void {
    for (const link of this.#links.values()) link.tick();
    if (this.#asking || this.stopping || performance.now() < this.#nextQuestions) return;
    const roster = this.#roster!;
    this.#nextQuestions = performance.now() + roster.options.questionIntervalMs;
    this.#asking = true;
    void roster.askRound(this.#sessions()).finally(() => (this.#asking = false));
  }

  // ---- for the links

  /** @internal */
  changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** @internal */
  askSoon(): void {
    this.#nextQuestions = 0;
  }

  /** Ends early when the participant stops. @internal */
  pause(ms: number): Promise<void> {
    if (this.stopping) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#pauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#pauses.add(end);
    });
  }

  /** @internal */
  dialWanted(): void {
    if (this.stopping) return;
    const roster = this.#roster!;
    const wanted = roster.wanted();
    for (const [endpoint, link] of this.#links) {
      link.retired = !wanted.includes(endpoint);
      if (link.ended) this.#links.delete(endpoint);
    }
    for (const endpoint of wanted) {
      if (!this.#links.has(endpoint)) this.#links.set(endpoint, new Link(this, roster, endpoint));
    }
  }

  /** It leads to a coordinator that has an older session: one for each is enough, whatever names lead to it. @internal */
  isSpare(link: Link): boolean {
    const mine = link.session;
    if (!mine || mine.epoch === 0n) return false;
    return [...this.#links.values()].some((other) => {
      const there = other.session;
      return other !== link && there !== undefined && there.open && there.epoch === mine.epoch && there.coordinatorId === mine.coordinatorId &&
        there.openedAt! < (mine.openedAt ?? 0);
    });
  }
}

/** Starts what can be started and stopped, and stops it when somebody says so. */
export async function runUntilEnded(what: { start(): Promise<unknown>; stop(): Promise<void> }, signal?: AbortSignal): Promise<void> {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const names = ["SIGTERM", "SIGINT"] as const;
  for (const name of names) process.once(name, end); // after it the default action is there again
  signal?.addEventListener("abort", end, { once: true });
  if (signal?.aborted) end();
  try {
    await what.start();
    await ended;
  } finally {
    await what.stop();
    for (const name of names) process.removeListener(name, end);
    signal?.removeEventListener("abort", end);
  }
}

// One conversation with one coordinator, over one connection: what came in, and what is to be sent. Without gRPC; participant.ts
// carries it out.
//
// A reply is sent only on the connection that its command came on, at most once. Whatever breaks, the coordinator asks again, and the
// desk answers the second asking with the first's run.

import type { Held } from "./barrier.js";
import { type Call, type Reply, retryLater } from "./call.js";
import type { Desk } from "./desk.js";
import { callOf, longOf, type Message, replyMessage, unsignedOf } from "./wire.js";
import { cut, FRAME_BYTES, MAX_FRAME_MESSAGES, oneLine, Verdict } from "./words.js";

export const PATIENCE_MS = 10_000; // for the Welcome, and for the end of a stream that is half-closed
const GOOD_CONNECTION_MS = 5000; // one that lasted so long: the next dial does not inherit the waits of the failures before it
const MAX_QUESTIONS = 1024;
const REPLY_OVERHEAD_BYTES = 1500; // what is not its result has at most so many

/** Of a participant. */
export class Counters {
  /** Received. */
  commands = 0;
  /** Sent, or queued to be. */
  replies = 0;
  /** Computed for a stream that was lost: asked again by the coordinator. */
  droppedReplies = 0;
  /** Dropped unanswered: of a coordinator that has lost the transaction to another. */
  staleCommands = 0;
  connections = 0;
}

export interface SessionOptions {
  readonly endpoint: string;
  readonly hello: Message;
  readonly desk: Desk;
  readonly counters: Counters;
  readonly deliver: (held: Held, verdict: Verdict, finished: boolean) => void;
  readonly log: (line: string) => void;
  /** There may be a frame to be sent. */
  readonly wake: () => void;
}

export class Session {
  readonly #options: SessionOptions;
  #replies: Message[] = [];
  #queries: Held[] = [];
  readonly #asked = new Map<string, Held>();
  #inFlight = 0; // commands whose reply is not queued yet
  #helloDue = true;
  #goodbyeDue = false;
  #draining = false;
  #halfClosed = false;
  #closed = false;
  #toldStale = false;
  /** When our patience ends. */
  #due = performance.now() + PATIENCE_MS;
  openedAt: number | undefined;
  coordinatorId = 0;
  epoch = 0n;
  clustered = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  // ---- what comes in

  /** Throws if the coordinator does not keep to the protocol: give the connection up. */
  onFrame(frame: Message): void {
    if (this.#closed) return;
    if (Boolean(frame.welcome) !== (this.openedAt === undefined)) {
      throw new Error(this.openedAt === undefined ? "its first frame has no Welcome" : "a second Welcome");
    }
    if (this.openedAt === undefined) this.#onWelcome(frame.welcome);
    for (const command of frame.commands) this.#onCommand(command);
    for (const answer of frame.answers) this.#onAnswer(answer);
    if (frame.goodbye) {
      this.#options.log(`coordinator says goodbye endpoint=${this.#options.endpoint}`);
      this.#drain(false);
    }
  }

  #onWelcome(welcome: Message): void {
    this.coordinatorId = welcome.coordinatorId;
    this.epoch = unsignedOf(welcome.epoch);
    this.clustered = unsignedOf(welcome.clusterVersion) !== 0n;
    this.#due = Infinity;
    this.openedAt = performance.now();
    this.#options.counters.connections += 1;
    this.#options.log(oneLine(`connected session=${cut(welcome.sessionId, 64)} coordinator=${this.coordinatorId} epoch=${this.epoch} ` +
      `endpoint=${this.#options.endpoint}`));
  }

  #onCommand(command: Message): void {
    const { desk, counters, hello } = this.#options;
    counters.commands += 1;
    if (!desk.heardFromOwner(this.coordinatorId, command.slot, unsignedOf(command.slotEpoch))) {
      // Without an answer: whoever sent it has lost the slot and must not conclude anything.
      counters.staleCommands += 1;
      if (!this.#toldStale) this.#options.log(`command dropped, another coordinator has slot ${command.slot} since endpoint=${this.#options.endpoint}`);
      this.#toldStale = true;
      return;
    }
    let call: Call;
    try {
      call = callOf(command);
    } catch (wrong) {
      this.#reject(command, `ill-formed command: ${(wrong as Error).message}`);
      return;
    }
    if (this.#inFlight >= hello.maxInFlight) {
      this.#reject(command, `more than maxInFlight (${hello.maxInFlight}) commands are unanswered here`);
      return;
    }
    this.#inFlight += 1;
    const { commandId } = command;
    if (!desk.ask(call, { alive: () => this.#alive(), answer: (asked, reply) => this.#answer(commandId, asked, reply) })) {
      this.#inFlight -= 1;
      this.#reject(command, "the participant's queue is full (maxQueuedCalls)");
    }
  }

  #reject(command: Message, reason: string): void {
    this.#queue(replyMessage(command, retryLater(cut(reason)), command.commandId));
  }

  /** One to something that was not asked on this connection is dropped: acting on it would trust a stranger's verdict. */
  #onAnswer(answer: Message): void {
    const key = JSON.stringify([answer.gid, answer.branchId]);
    const held = this.#asked.get(key);
    this.#asked.delete(key);
    if (held && Verdict[answer.verdict]) this.#options.deliver(held, answer.verdict, answer.finished);
  }

  // ---- what goes out

  #alive(): boolean {
    return !this.#closed && !this.#halfClosed;
  }

  get open(): boolean {
    return this.openedAt !== undefined && !this.#draining && !this.#closed;
  }

  #answer(commandId: Message, call: Call, reply: Reply): void {
    if (!this.#alive()) {
      this.#options.counters.droppedReplies += 1;
      return;
    }
    this.#inFlight -= 1;
    this.#queue(replyMessage(call, reply, commandId as { low: number; high: number }));
  }

  #queue(message: Message): void {
    this.#options.counters.replies += 1;
    this.#replies.push(message);
    this.#options.wake();
  }

  /** Beyond MAX_QUESTIONS unanswered ones, and while it is not open, they are dropped: they come again with the next round. */
  question(held: Held): void {
    const key = JSON.stringify([held.gid, held.branchId]);
    if (!this.open || this.#asked.has(key) || this.#asked.size >= MAX_QUESTIONS) return;
    this.#asked.set(key, held);
    this.#queries.push(held);
    this.#options.wake();
  }

  /** Says goodbye, answers what it has, and ends. */
  stop(): void {
    this.#drain(true);
  }

  #drain(goodbye: boolean): void {
    this.#goodbyeDue ||= goodbye && !this.#draining;
    this.#draining = true;
    this.#queries = [];
    this.#options.wake();
  }

  /** To be sent now; undefined: nothing. (Then, if `finished`, the stream is to be half-closed.) */
  nextFrame(): Message | undefined {
    if (!this.#alive()) return undefined;
    if (this.#helloDue) {
      this.#helloDue = false;
      return { hello: this.#options.hello };
    }
    if (this.openedAt === undefined) return undefined;
    if (this.#replies.length > 0 || this.#queries.length > 0 || this.#goodbyeDue) return this.#fill();
    if (this.#draining && this.#inFlight === 0) {
      this.#halfClosed = true;
      this.#due = performance.now() + PATIENCE_MS;
    }
    return undefined;
  }

  #fill(): Message {
    let count = 0;
    for (let size = 0; count < this.#replies.length && count < MAX_FRAME_MESSAGES && size < FRAME_BYTES; count += 1) {
      size += (this.#replies[count]!.result?.length ?? 0) + REPLY_OVERHEAD_BYTES;
    }
    const replies = this.#replies.splice(0, count);
    const queries = this.#queries.splice(0, MAX_FRAME_MESSAGES - count).map((held) => ({
      gid: held.gid, branchId: held.branchId, coordinatorId: held.coordinatorId, beganEpoch: longOf(held.beganEpoch) }));
    const goodbye = this.#goodbyeDue;
    this.#goodbyeDue = false;
    return { replies, queries, goodbye };
  }

  /** Nothing more will be sent. */
  get finished(): boolean {
    return !this.#alive();
  }

  /** The connection is gone. */
  close(): void {
    this.#closed = true;
    this.#options.counters.droppedReplies += this.#replies.length;
    this.#replies = [];
  }

  get wasGood(): boolean {
    return this.openedAt !== undefined && performance.now() - this.openedAt >= GOOD_CONNECTION_MS;
  }

  /** Why it should be torn down, if our patience has ended. */
  complaint(): string | undefined {
    if (this.#closed || performance.now() < this.#due) return undefined;
    if (this.openedAt === undefined) {
      return `the coordinator at ${this.#options.endpoint} did not say Welcome within ${PATIENCE_MS} ms; is assentd running there?`;
    }
    return `the coordinator at ${this.#options.endpoint} did not end the session within ${PATIENCE_MS} ms`;
  }
}

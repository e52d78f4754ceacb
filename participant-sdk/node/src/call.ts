// What a participant is asked, and what it answers.

import { sentenceOf } from "./errors.js";
import { bytesOf, cut, Kind, MAX_RESULT_BYTES, Operation, Protocol, type Role, roleOf } from "./words.js";

/** W3C Trace Context, as it travels. Empty: none. */
export interface Trace {
  readonly traceparent: string;
  readonly tracestate: string;
}

export interface CallFields {
  readonly gid: string;
  readonly branchId: string;
  readonly operation: Operation;
  readonly protocol: Protocol;
  readonly service?: string;
  readonly action?: string;
  readonly payload?: Uint8Array;
  readonly results?: ReadonlyMap<string, Uint8Array>;
  readonly headers?: ReadonlyMap<string, string>;
  readonly attempt?: number;
  readonly onePhase?: boolean;
  readonly timeoutMs?: number;
  readonly coordinatorId?: number;
  readonly beganEpoch?: bigint;
  readonly beganUnixMs?: number;
  readonly trace?: Trace;
}

/** One operation asked of one branch. The same (gid, branchId, operation) may be asked again. */
export class Call {
  readonly gid: string;
  readonly branchId: string;
  readonly operation: Operation;
  readonly protocol: Protocol;
  readonly service: string;
  readonly action: string;
  /** The initiator's bytes, the same for each operation of the branch. */
  readonly payload: Uint8Array;
  /** By branch id, of those this one comes after. */
  readonly results: ReadonlyMap<string, Uint8Array>;
  readonly headers: ReadonlyMap<string, string>;
  /** For logs; never decide anything by it. */
  readonly attempt: number;
  /** PREPARE only: sole branch of its transaction. */
  readonly onePhase: boolean;
  /** How long the coordinator waits for the reply. */
  readonly timeoutMs: number;
  readonly coordinatorId: number;
  readonly beganEpoch: bigint;
  /** The transaction's age, for comparing only; 0: not known. */
  readonly beganUnixMs: number;
  /**
   * What the handler does belongs under this span. Hand it to a tracing library, to other services, and to a Transaction that the
   * handler begins (`new Transaction({ trace: call.trace })`).
   */
  readonly trace: Trace;

  constructor(fields: CallFields) {
    this.gid = fields.gid;
    this.branchId = fields.branchId;
    this.operation = fields.operation;
    this.protocol = fields.protocol;
    this.service = fields.service ?? "";
    this.action = fields.action ?? "";
    this.payload = fields.payload ?? new Uint8Array();
    this.results = fields.results ?? new Map();
    this.headers = fields.headers ?? new Map();
    this.attempt = fields.attempt ?? 1;
    this.onePhase = fields.onePhase ?? false;
    this.timeoutMs = fields.timeoutMs ?? 0;
    this.coordinatorId = fields.coordinatorId ?? 0;
    this.beganEpoch = fields.beganEpoch ?? 0n;
    this.beganUnixMs = fields.beganUnixMs ?? 0;
    this.trace = fields.trace ?? { traceparent: "", tracestate: "" };
  }

  /** The payload as UTF-8 text. Throws if it is none. */
  get text(): string {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.payload);
  }

  /** The payload as JSON. */
  json(): any {
    return JSON.parse(this.text);
  }

  toString(): string {
    return `${Operation[this.operation]} of branch ${this.branchId} of transaction ${this.gid}`;
  }
}

/** The answer to a Call. Handlers rarely make one: what they return is done, what they throw is not. */
export class Reply {
  constructor(
    readonly kind: Kind,
    /** Done, of a forward operation. */
    readonly result: Uint8Array = new Uint8Array(),
    /** Refused, retry later. */
    readonly reason = "",
    readonly retryAfterMs = 0,
    /** Retry later, from adapters: the transaction whose prepared work is in the way. */
    readonly blockedBy = "",
  ) {}

  get isDone(): boolean {
    return this.kind === Kind.DONE || this.kind === Kind.DONE_READ_ONLY;
  }

  /** In the form in which it is kept and given, so that the first and every later one are equal byte for byte. */
  normalized(role: Role): Reply {
    if (this.isDone) {
      if (this.result.length <= MAX_RESULT_BYTES) return new Reply(this.kind, this.result);
      if (role !== "forward") return new Reply(this.kind);
      return refused(`the handler's result has ${this.result.length} bytes; the limit is ${MAX_RESULT_BYTES}`);
    }
    if (this.kind === Kind.REFUSED) return refused(cut(this.reason));
    return new Reply(this.kind, undefined, cut(this.reason), this.retryAfterMs, this.blockedBy);
  }
}

/** It has happened, durably. */
export function done(result?: Uint8Array | string): Reply {
  return new Reply(Kind.DONE, bytesOf(result));
}

/** PREPARE only: yes, and nothing was written; no COMMIT or ROLLBACK will follow. */
export function readOnly(result?: Uint8Array | string): Reply {
  return new Reply(Kind.DONE_READ_ONLY, bytesOf(result));
}

export function refused(reason: string): Reply {
  return new Reply(Kind.REFUSED, undefined, reason);
}

export function retryLater(reason: string, retryAfterMs = 0, blockedBy = ""): Reply {
  return new Reply(Kind.RETRY_LATER, undefined, reason, retryAfterMs, blockedBy);
}

/** A handler throws it to say no: final, what it wrote is undone, the transaction aborts. */
export class Refused extends Error {
  override readonly name = "Refused";
}

/** A handler throws it to be asked again: not now, nothing happened. */
export class RetryLater extends Error {
  override readonly name = "RetryLater";
  constructor(reason: string, readonly afterMs = 0) {
    super(reason);
  }
}

/** It may or may not have happened (a COMMIT whose answer was lost): no answer is the true one, so the coordinator asks again. */
export class Unknown extends Error {
  override readonly name: string = "Unknown";
}

/** What a handler may return: nothing, the result's bytes or text, or a Reply. */
export type Returned = void | undefined | null | Uint8Array | string | Reply;

/**
 * What a handler returned, as a Reply that the operation has. Else a sentence with the handler's fault, and it is asked again. What a
 * finishing or undoing one returns has nobody who reads it, and may be anything.
 */
export function replyOf(returned: unknown, call: Call): Reply {
  const role = roleOf(call.operation);
  let reply: Reply;
  if (returned instanceof Reply) reply = returned;
  else if (returned === undefined || returned === null || role !== "forward") reply = new Reply(Kind.DONE);
  else if (typeof returned === "string" || returned instanceof Uint8Array) reply = done(returned);
  else {
    return retryLater(`the handler of ${call.action} returned a ${typeof returned}; it returns nothing, a string, bytes or a Reply ` +
      "(JSON.stringify makes a string of anything)");
  }
  if (reply.kind === Kind.DONE_READ_ONLY && call.operation !== Operation.PREPARE) {
    return retryLater(`the handler of ${call.action} answered readOnly to ${Operation[call.operation]}; PREPARE alone has that answer`);
  }
  return reply.normalized(role);
}

/** What an exception of a handler means. Undefined: nobody can say what has happened. */
export function replyTo(error: unknown): Reply | undefined {
  if (error instanceof Unknown) return undefined;
  if (error instanceof Refused) return refused(cut(error.message));
  if (error instanceof RetryLater) return retryLater(cut(error.message), error.afterMs);
  return retryLater(cut(sentenceOf(error)));
}

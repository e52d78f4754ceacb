// A transaction as its initiator writes it, and what the coordinator says about it.

import { randomBytes } from "node:crypto";
import type { Trace } from "./call.js";
import { InvalidArgument } from "./errors.js";
import {
  BranchState, bytesOf, MAX_ATTEMPTS, MAX_BRANCH_ID_BYTES, MAX_BRANCHES, MAX_GID_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_KEY_BYTES, MAX_LABEL_BYTES,
  MAX_LABELS, MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, MAX_TRACESTATE_BYTES, MAX_TRANSACTION_BYTES, Ordering, Outcome, Protocol, State,
} from "./words.js";

const MAX_DEADLINE_MS = 7 * 24 * 3600 * 1000;
const MAX_BRANCH_TIME_MS = 3600 * 1000;
const FIRST_ASKED_MS = 1000;

/** 12 hex digits of Unix time in milliseconds, then 20 random ones. Those made later sort later. */
export function newGid(): string {
  return Date.now().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
}

export function checkId(field: string, text: string, limit = MAX_GID_BYTES): void {
  if (typeof text !== "string" || text.length > limit || !/^[A-Za-z0-9._:-]+$/.test(text)) {
    throw new InvalidArgument(`${field} is ${shown(text)}; it takes 1 to ${limit} of [A-Za-z0-9._:-]`);
  }
}

export function checkName(field: string, text: string): void {
  if (typeof text !== "string" || text.length > MAX_NAME_BYTES || !/^[A-Za-z0-9._:/-]+$/.test(text)) {
    throw new InvalidArgument(`${field} is ${shown(text)}; it takes 1 to ${MAX_NAME_BYTES} of [A-Za-z0-9._:/-]`);
  }
}

export function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 100);
}

/** What a branch may have beside its payload. Times are milliseconds; 0 is the coordinator's default. */
export interface BranchOptions {
  /** Unique within the transaction; empty: "1", "2", … by position. */
  readonly id?: string;
  /** Ids of branches that must have executed before this one starts. */
  readonly after?: readonly string[];
  /** Saga, at most one: once it has succeeded the transaction commits. */
  readonly pivot?: boolean;
  /** Of a pivot that is the first step: see `checkBack` of Transaction. */
  readonly checkBack?: boolean;
  /** Hand the handler the results of the branches in `after`. */
  readonly receiveResults?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** 100 ms; doubles each time. */
  readonly initialBackoffMs?: number;
  /** 30 s. */
  readonly maxBackoffMs?: number;
  /** Of the forward operation; 0: until the deadline. */
  readonly maxAttempts?: number;
  /** 10 s; an attempt longer than this counts as unknown. */
  readonly attemptTimeoutMs?: number;
}

/** One participant's part. */
export class Branch {
  readonly payload: Uint8Array;
  readonly id: string;
  readonly after: readonly string[];
  readonly pivot: boolean;
  readonly checkBack: boolean;
  readonly receiveResults: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly maxAttempts: number;
  readonly attemptTimeoutMs: number;

  constructor(readonly protocol: Protocol, readonly service: string, readonly action: string, payload?: Uint8Array | string, options: BranchOptions = {}) {
    if (payload !== undefined && typeof payload !== "string" && !(payload instanceof Uint8Array)) {
      throw new InvalidArgument(`the payload of ${service}/${action} is a ${typeof payload}; it is a string or bytes (JSON.stringify makes a string of anything)`);
    }
    this.payload = bytesOf(payload);
    this.id = options.id ?? "";
    this.after = options.after ?? [];
    this.pivot = options.pivot ?? false;
    this.checkBack = options.checkBack ?? false;
    this.receiveResults = options.receiveResults ?? false;
    this.headers = options.headers ?? {};
    this.initialBackoffMs = options.initialBackoffMs ?? 0;
    this.maxBackoffMs = options.maxBackoffMs ?? 0;
    this.maxAttempts = options.maxAttempts ?? 0;
    this.attemptTimeoutMs = options.attemptTimeoutMs ?? 0;
  }

  /** What is wrong before anything is sent; the coordinator checks the rest. */
  check(place = "branch"): void {
    if (this.id) checkId(`${place}.id`, this.id, MAX_BRANCH_ID_BYTES);
    checkName(`${place}.service`, this.service);
    checkName(`${place}.action`, this.action);
    if (this.payload.length > MAX_PAYLOAD_BYTES) throw new InvalidArgument(`${place}.payload has ${this.payload.length} bytes; at most ${MAX_PAYLOAD_BYTES}`);
    if (this.pivot && this.protocol !== Protocol.SAGA) throw new InvalidArgument(`${place}.pivot is set, but only a Saga step can be the pivot`);
    if (this.checkBack && !this.pivot) throw new InvalidArgument(`${place}.checkBack is set, but only the pivot, as the first step, can be checked back`);
    for (const name of ["initialBackoffMs", "maxBackoffMs", "attemptTimeoutMs"] as const) {
      if (!(this[name] >= 0 && this[name] <= MAX_BRANCH_TIME_MS)) throw new InvalidArgument(`${place}.${name} is ${this[name]}; it must be 0 to ${MAX_BRANCH_TIME_MS}`);
    }
  }

  /** With an id: a call that is repeated after a lost answer must be the same branch. */
  numbered(number: number): Branch {
    return this.id ? this : new Branch(this.protocol, this.service, this.action, this.payload, { ...this, id: String(number) });
  }
}

export interface TransactionOptions {
  readonly gid?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** From acceptance until it aborts unless decided; 0: 60 s. */
  readonly deadlineMs?: number;
  readonly ordering?: Ordering;
  /** Of the call whose handler begins it, or of your tracing library. */
  readonly trace?: Trace;
}

/**
 * A whole transaction, written as the sentence that describes it:
 *
 *     const order = new Transaction({ labels: { order: "4711" } }).tcc("inventory", "reserve", items).tcc("payment", "charge", amount);
 *
 * It has its gid from birth. Submitting the same object again is therefore the same transaction, and gives the same answer: that is
 * what to do after UnknownOutcome.
 */
export class Transaction {
  readonly gid: string;
  readonly branches: Branch[] = [];
  readonly labels: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  readonly ordering: Ordering;
  readonly trace: Trace;

  constructor(options: TransactionOptions = {}) {
    this.gid = options.gid ?? newGid();
    this.labels = { ...options.labels };
    this.deadlineMs = options.deadlineMs ?? 0;
    this.ordering = options.ordering ?? Ordering.DEFAULT;
    this.trace = options.trace ?? { traceparent: "", tracestate: "" };
  }

  /** The branch's participant keeps prepared work durable and invisible until the decision. */
  twoPhase(service: string, action: string, payload?: Uint8Array | string, options?: BranchOptions): this {
    return this.add(new Branch(Protocol.TWO_PHASE, service, action, payload, options));
  }

  /** The branch's participant reserves, then consumes or releases. */
  tcc(service: string, action: string, payload?: Uint8Array | string, options?: BranchOptions): this {
    return this.add(new Branch(Protocol.TCC, service, action, payload, options));
  }

  /** A step that takes effect at once and is compensated if the transaction aborts. */
  saga(service: string, action: string, payload?: Uint8Array | string, options?: BranchOptions): this {
    return this.add(new Branch(Protocol.SAGA, service, action, payload, options));
  }

  /**
   * The first step of a message without an outbox (check-back.ts): the initiator's own local transaction, about which `service` is asked. The
   * steps of a Saga follow, nothing else. `firstAskedMs`: so long after `prepare`, if `submit` does not come before; then less and less often. 1 s.
   */
  checkBack(service: string, action: string, { firstAskedMs = FIRST_ASKED_MS }: { readonly firstAskedMs?: number } = {}): this {
    return this.saga(service, action, undefined, { pivot: true, checkBack: true, initialBackoffMs: firstAskedMs });
  }

  add(branch: Branch): this {
    this.branches.push(branch);
    return this;
  }

  /** InvalidArgument names the field, the limit and the value. `isOpen`: for `begin`, which has no branches yet. */
  check(isOpen = false): void {
    checkId("gid", this.gid);
    if (isOpen && this.branches.length > 0) throw new InvalidArgument("branches: an open transaction begins without any; add them to what begin() gives");
    if (!isOpen && this.branches.length === 0) throw new InvalidArgument("branches: a transaction needs at least one");
    if (this.branches.length > MAX_BRANCHES) throw new InvalidArgument(`branches has ${this.branches.length} branches; at most ${MAX_BRANCHES}`);
    if (!(this.deadlineMs >= 0 && this.deadlineMs <= MAX_DEADLINE_MS)) throw new InvalidArgument(`deadlineMs is ${this.deadlineMs}; it must be 0 to ${MAX_DEADLINE_MS}`);
    const ids = this.branches.map((branch, index) => branch.id || String(index + 1));
    this.branches.forEach((branch, index) => {
      branch.check(`branches[${index}]`);
      if (ids.indexOf(ids[index]!) < index) throw new InvalidArgument(`branches[${index}].id ${shown(ids[index])} is taken by an earlier branch`);
      for (const before of branch.after) {
        if (!ids.includes(before) || before === ids[index]) {
          throw new InvalidArgument(`branches[${index}].after names ${shown(before)}, which is no other branch of this transaction`);
        }
      }
    });
  }
}

/** What a coordinator would refuse, as far as it can be seen here: for who hears of it after a local commit only. */
export function checkAll(transaction: Transaction): void {
  transaction.check();
  const { branches, labels, trace: { traceparent, tracestate } } = transaction;
  checkPairs("labels", labels, MAX_LABELS, MAX_LABEL_BYTES);
  if (traceparent && !/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/.test(traceparent)) {
    throw new InvalidArgument(`traceparent is ${shown(traceparent)}; it takes what W3C Trace Context calls so`);
  }
  if (tracestate.length > MAX_TRACESTATE_BYTES || !/^[ -~]*$/.test(tracestate) || (tracestate && !traceparent)) {
    throw new InvalidArgument(`tracestate takes up to ${MAX_TRACESTATE_BYTES} bytes of printable ASCII, beside a traceparent`);
  }
  let every = 0;
  branches.forEach(({ headers, maxAttempts, payload }, index) => {
    checkPairs(`branches[${index}].headers`, headers, MAX_HEADERS, MAX_HEADER_BYTES);
    if (!(Number.isInteger(maxAttempts) && maxAttempts >= 0 && maxAttempts <= MAX_ATTEMPTS)) {
      throw new InvalidArgument(`branches[${index}].maxAttempts is ${maxAttempts}; it must be 0 to ${MAX_ATTEMPTS}`);
    }
    every += payload.length;
    for (const [name, value] of Object.entries(headers)) every += name.length + Buffer.byteLength(value);
  });
  if (every > MAX_TRANSACTION_BYTES) throw new InvalidArgument(`its payloads and headers have ${every} bytes; at most ${MAX_TRANSACTION_BYTES}`);
  if (branches.filter(({ pivot }) => pivot).length > 1) throw new InvalidArgument("branches: at most one is the pivot");
}

/** Of labels, of headers. */
function checkPairs(field: string, pairs: Readonly<Record<string, string>>, count: number, valueBytes: number): void {
  const entries = Object.entries(pairs);
  if (entries.length > count) throw new InvalidArgument(`${field} has ${entries.length} entries; at most ${count}`);
  for (const [name, value] of entries) {
    if (name.length > MAX_KEY_BYTES || !/^[A-Za-z0-9._:/-]+$/.test(name)) {
      throw new InvalidArgument(`a key of ${field} is ${shown(name)}; it takes 1 to ${MAX_KEY_BYTES} of [A-Za-z0-9._:/-]`);
    }
    if (typeof value !== "string" || Buffer.byteLength(value) > valueBytes) throw new InvalidArgument(`${field}.${name} takes text of up to ${valueBytes} bytes`);
  }
}

/**
 * The coordinator's answer about a transaction. `outcome` is the decision, and final. `state` may still be COMMITTING beside COMMITTED, or
 * ABORTING beside ABORTED: participants are being told, which goes on by itself. `WaitFor.COMPLETED` waits for that, too.
 */
export class Report {
  constructor(
    readonly gid: string,
    readonly state: State,
    readonly outcome: Outcome,
    /** "branch 2 inventory/reserve refused: out of stock", … */
    readonly abortReason: string,
    /** By branch id; empty ones are left out. */
    readonly results: ReadonlyMap<string, Uint8Array>,
  ) {}

  get committed(): boolean {
    return this.outcome === Outcome.COMMITTED;
  }

  get aborted(): boolean {
    return this.outcome === Outcome.ABORTED;
  }
}

/** What one branch of an open transaction answered. */
export interface BranchResult {
  readonly branchId: string;
  /** A business no: the whole transaction is being aborted. */
  readonly refused: boolean;
  readonly readOnly: boolean;
  readonly result: Uint8Array;
  readonly reason: string;
}

export interface BranchInfo {
  readonly id: string;
  /** "2pc", "tcc", "saga". */
  readonly protocol: string;
  readonly service: string;
  readonly action: string;
  readonly state: BranchState;
  readonly result: Uint8Array;
  readonly attempts: number;
  readonly lastError: string;
  readonly needsOperator: boolean;
}

/** A transaction in full, as `get` shows it. Times are of the coordinator's clock; undefined for what has not been. */
export interface TransactionInfo {
  readonly gid: string;
  readonly state: State;
  readonly outcome: Outcome;
  readonly open: boolean;
  readonly suspended: boolean;
  readonly branches: readonly BranchInfo[];
  readonly labels: ReadonlyMap<string, string>;
  readonly abortReason: string;
  readonly whyNotFinished: string;
  readonly began: Date | undefined;
  readonly deadline: Date | undefined;
  readonly decided: Date | undefined;
  readonly finished: Date | undefined;
}

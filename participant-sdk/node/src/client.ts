// For initiators: run transactions, ask what became of them.
//
//     const client = new Client();                              // ASSENT_ENDPOINT, or 127.0.0.1:7400
//     const report = await client.submit(new Transaction().tcc("inventory", "reserve", items).tcc("payment", "charge", amount));
//     if (!report.committed) console.log(report.abortReason);
//
// An abort is a Report. What is thrown says what to do next: see errors.ts.

import * as grpc from "@grpc/grpc-js";
import { Dialling, type DialOptions, endpointsOf } from "./dial.js";
import { AssentError, InvalidArgument, sentenceOf } from "./errors.js";
import { type Ask, type Attempt, carryOut, type Prepared, type Retry, Routes, type Transport } from "./plan.js";
import { Branch, type BranchOptions, type BranchResult, checkId, type Report, Transaction, type TransactionInfo } from "./transaction.js";
import { NO_ANSWER, WHY_PATIENCE_MS, whyUnavailable } from "./why.js";
import { branchResultOf, branchSpec, infoOf, type Message, METHODS, reportOf, transactionSpec } from "./wire.js";
import { cut, MAX_BRANCH_ID_BYTES, Protocol, WaitFor } from "./words.js";

const DEFAULT_DEADLINE_MS = 60_000;
const BEYOND_DEADLINE_MS = 10_000;
const WITHOUT_DEADLINE_MS = 30_000;
const ROLLBACK_OF_ABANDONED_MS = 2000; // it does not insist: the coordinator's deadline does the rest

export interface CallOptions {
  /** How far the transaction has to be; that of the client. */
  readonly wait?: WaitFor;
  /** How long the call may take, repeats included; that of the client. */
  readonly timeoutMs?: number;
  /** Gives the waiting up. If the call may have been done by then, that is UnknownOutcome, else the signal's own reason. */
  readonly signal?: AbortSignal;
}

export interface ClientOptions extends DialOptions {
  /** DECIDED. */
  readonly wait?: WaitFor;
  /** 0: the transaction's deadline and 10 s more (30 s where there is none). */
  readonly timeoutMs?: number;
  readonly retry?: Partial<Retry>;
}

/** One coordinator's connection. */
interface Link {
  readonly stamp: string;
  readonly client: grpc.Client;
}

/** Cheap to keep: make one for the program. Dials with its first call. */
export class Client {
  readonly #routes: Routes;
  readonly #dialling: Dialling;
  readonly #retry: Retry;
  readonly #wait: WaitFor;
  readonly #timeoutMs: number;
  readonly #links = new Map<string, Link>();
  readonly #transport: Transport = { ask: (ask, signal) => this.#ask(ask, signal), pause, now: () => performance.now() };

  /** `endpoints`: coordinators that share one log (some suffice, the client learns of the others). Others must never be named together. */
  constructor(options: ClientOptions = {}) {
    const endpoints = endpointsOf(options.endpoints);
    this.#routes = new Routes(endpoints);
    this.#dialling = new Dialling(options, endpoints);
    this.#retry = { initialBackoffMs: 20, maxBackoffMs: 1000, giveUpAfterMs: 10_000, ...options.retry };
    this.#wait = options.wait ?? WaitFor.DECIDED;
    this.#timeoutMs = options.timeoutMs ?? 0;
  }

  /** Runs the whole transaction, and waits. An abort is a Report, not a failure. */
  async submit(transaction: Transaction, options: CallOptions = {}): Promise<Report> {
    transaction.check();
    const request = { transaction: transactionSpec(transaction), waitFor: options.wait ?? this.#wait };
    return reportOf(await this.carryOut("Submit", request, transaction.gid, `Submit of transaction ${transaction.gid}`, timeoutOf(transaction), options));
  }

  /**
   * Makes a message durable that begins once its initiator's local transaction has committed, and never if that does not (check-back.ts):
   * before that transaction. Then `submit`, after it. InvalidArgument: its first step is no checkBack. As with `submit`, the same again is the same.
   */
  async prepare(message: Transaction, options: Omit<CallOptions, "wait"> = {}): Promise<Report> {
    message.check();
    if (!message.branches[0]!.checkBack) throw new InvalidArgument(`transaction ${message.gid} does not begin with checkBack: there is nothing to ask about`);
    return await this.submit(message, { ...options, wait: WaitFor.ACCEPTED });
  }

  /** Opens a transaction to which branches are added one by one. `transaction` has none; its gid, labels, deadline count. */
  async begin(transaction = new Transaction(), options: CallOptions = {}): Promise<OpenTransaction> {
    transaction.check(true);
    await this.carryOut("Begin", { transaction: transactionSpec(transaction) }, transaction.gid, `Begin of transaction ${transaction.gid}`,
      WITHOUT_DEADLINE_MS, options);
    return new OpenTransaction(this, transaction, this.#wait);
  }

  /**
   * Runs `work` with an open transaction, and commits it. When `work` throws, or a branch is refused and `work` returns, it is rolled
   * back: the Report says so, and what was thrown is thrown on.
   */
  async interactive(work: (order: OpenTransaction) => Promise<unknown>, transaction?: Transaction, options: CallOptions = {}): Promise<Report> {
    const order = await this.begin(transaction, options);
    try {
      await work(order);
    } catch (error) {
      await order.abandon(sentenceOf(error));
      throw error;
    }
    return order.refused ? await this.wait(order.gid, options) : await order.commit(options);
  }

  /** Answers when the transaction gets there; DeadlineExceeded if it does not in time. */
  async wait(gid: string, options: CallOptions = {}): Promise<Report> {
    checkId("gid", gid);
    const request = { gid, waitFor: options.wait ?? this.#wait };
    return reportOf(await this.carryOut("Wait", request, gid, `Wait for transaction ${gid}`, WITHOUT_DEADLINE_MS, options));
  }

  async get(gid: string, options: CallOptions = {}): Promise<TransactionInfo> {
    checkId("gid", gid);
    return infoOf(await this.carryOut("Get", { gid, results: true }, gid, `Get of transaction ${gid}`, WITHOUT_DEADLINE_MS, options));
  }

  close(): void {
    for (const { client } of this.#links.values()) client.close();
    this.#links.clear();
  }

  /** @internal */
  carryOut(method: Prepared["method"], request: Message, gid: string, what: string, timeoutMs: number, options: CallOptions): Promise<Message> {
    const readOnly = method === "Wait" || method === "Get";
    const prepared = { method, request, gid, what, readOnly, timeoutMs: options.timeoutMs || this.#timeoutMs || timeoutMs };
    return carryOut(this.#routes, prepared, this.#retry, this.#transport, options.signal);
  }

  async #ask(ask: Ask, signal?: AbortSignal): Promise<Attempt> {
    const { endpoint, timeoutMs } = ask;
    let metadata: grpc.Metadata;
    let link: Link;
    try {
      metadata = this.#dialling.metadata(endpoint);
      link = this.#link(endpoint);
    } catch (error) {
      // Files that cannot be used now, or a member that the token must not be shown: what was sent before may have been done all the same.
      return { code: "UNAVAILABLE", message: sentenceOf(error), contacted: false };
    }
    if (!(await isConnected(link.client, ask.patienceMs, signal))) {
      const why = await whyUnconnected(link.client, this.#dialling.isSecure(endpoint));
      // The next attempt begins with a new connection, at once, and not when gRPC thinks it may.
      if (this.#links.get(endpoint) === link) this.#links.delete(endpoint);
      link.client.close();
      return { code: "UNAVAILABLE", message: `no connection to ${endpoint}: ${why}`, contacted: false };
    }
    const { path, requestSerialize, responseDeserialize } = METHODS[ask.method];
    return await new Promise((resolve) => {
      const deadline = Date.now() + Math.ceil(timeoutMs);
      const call = link.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, ask.request, metadata, { deadline }, (error, reply) => {
        signal?.removeEventListener("abort", cancel);
        resolve(error ? attemptOf(error) : { code: "OK", reply: reply!, contacted: true });
      });
      const cancel = (): void => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  #link(endpoint: string): Link {
    const stamp = this.#dialling.stamp();
    const old = this.#links.get(endpoint);
    if (old?.stamp === stamp) return old;
    old?.client.close(); // it ends with its calls
    const link = { stamp, client: this.#dialling.connect(endpoint) };
    this.#links.set(endpoint, link);
    return link;
  }
}

function timeoutOf(transaction: Transaction): number {
  return (transaction.deadlineMs || DEFAULT_DEADLINE_MS) + BEYOND_DEADLINE_MS;
}

function attemptOf(error: grpc.ServiceError): Attempt {
  const trailer = (key: string): string => String(error.metadata?.get(key)[0] ?? "");
  const hint = trailer("assent-retry-after-ms");
  return {
    code: grpc.status[error.code] ?? String(error.code), message: error.details, contacted: true, owner: trailer("assent-owner"),
    retryAfterMs: /^[0-9]{1,8}$/.test(hint) ? Number(hint) : 0,
  };
}

/** Whether there is a connection, in time. One that cannot be made is known at once. */
function isConnected(client: grpc.Client, patienceMs: number, signal?: AbortSignal): Promise<boolean> {
  const channel = client.getChannel();
  const end = Date.now() + patienceMs;
  return new Promise((resolve) => {
    const finish = (connected: boolean): void => {
      signal?.removeEventListener("abort", giveUp);
      resolve(connected);
    };
    const giveUp = (): void => finish(false);
    signal?.addEventListener("abort", giveUp, { once: true });
    const look = (): void => {
      let state: grpc.connectivityState;
      try {
        state = channel.getConnectivityState(true);
      } catch {
        return finish(false); // closed meanwhile, by another call that met no coordinator there
      }
      if (state === grpc.connectivityState.READY) return finish(true);
      if (state === grpc.connectivityState.TRANSIENT_FAILURE || state === grpc.connectivityState.SHUTDOWN) return finish(false);
      channel.watchConnectivityState(state, end, (late) => (late ? finish(false) : look()));
    };
    look();
  });
}

/** gRPC tells the cause to a call alone. */
function whyUnconnected(client: grpc.Client, secure: boolean): Promise<string> {
  return new Promise((resolve) => {
    try {
      if (client.getChannel().getConnectivityState(false) !== grpc.connectivityState.TRANSIENT_FAILURE) return resolve(NO_ANSWER);
      const { path, requestSerialize, responseDeserialize } = METHODS.GetServerInfo;
      const deadline = Date.now() + WHY_PATIENCE_MS;
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, new grpc.Metadata(), { deadline }, (error) =>
        resolve(error?.code === grpc.status.UNAVAILABLE ? whyUnavailable(error.details, secure) : NO_ANSWER));
    } catch {
      resolve(NO_ANSWER); // closed meanwhile
    }
  });
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted) end();
  });
}

/**
 * A transaction whose branches are added one by one. End it with `commit`, `rollback` or `abandon`; `client.interactive` does so.
 *
 *     const order = await client.begin();
 *     const stock = await order.tcc("inventory", "reserve", items);
 *     if (!stock.refused) {
 *       await order.saga("shipping", "book", stock.result);
 *       const report = await order.commit();
 *     }
 */
export class OpenTransaction {
  #next = 1;
  #ending = false;
  /** A branch said no: the coordinator aborts it. */
  refused = false;

  /** @internal */
  constructor(private readonly client: Client, private readonly transaction: Transaction, private readonly waitFor: WaitFor) {}

  get gid(): string {
    return this.transaction.gid;
  }

  /**
   * Adds a branch and waits for its forward operation. On UnknownOutcome the branch may have executed: say the same again (same id), or
   * roll back; the commit will not succeed without it.
   */
  async execute(branch: Branch, options: CallOptions = {}): Promise<BranchResult> {
    const numbered = branch.numbered(this.#next);
    this.#next += 1;
    numbered.check();
    checkId("branch.id", numbered.id, MAX_BRANCH_ID_BYTES);
    const request = { gid: this.gid, branch: branchSpec(numbered) };
    const result = branchResultOf(await this.#carryOut("ExecuteBranch", request, `branch ${numbered.id} of transaction ${this.gid}`, options));
    this.refused ||= result.refused;
    return result;
  }

  twoPhase(service: string, action: string, payload?: Uint8Array | string, options: BranchOptions & CallOptions = {}): Promise<BranchResult> {
    return this.execute(new Branch(Protocol.TWO_PHASE, service, action, payload, options), options);
  }

  tcc(service: string, action: string, payload?: Uint8Array | string, options: BranchOptions & CallOptions = {}): Promise<BranchResult> {
    return this.execute(new Branch(Protocol.TCC, service, action, payload, options), options);
  }

  saga(service: string, action: string, payload?: Uint8Array | string, options: BranchOptions & CallOptions = {}): Promise<BranchResult> {
    return this.execute(new Branch(Protocol.SAGA, service, action, payload, options), options);
  }

  /** UnknownOutcome: call it again, or `client.wait(gid)`. From the first call on `abandon` does nothing. */
  async commit(options: CallOptions = {}): Promise<Report> {
    this.#ending = true;
    const request = { gid: this.gid, waitFor: options.wait ?? this.waitFor };
    return reportOf(await this.#carryOut("Commit", request, `Commit of transaction ${this.gid}`, options));
  }

  async rollback(reason = "", options: CallOptions = {}): Promise<Report> {
    this.#ending = true;
    const request = { gid: this.gid, waitFor: options.wait ?? this.waitFor, reason: cut(reason) };
    return reportOf(await this.#carryOut("Rollback", request, `Rollback of transaction ${this.gid}`, options));
  }

  /** Rolls back what was neither committed nor rolled back. Never throws: if it cannot, the coordinator's deadline does the rest. */
  async abandon(reason = "left without a commit"): Promise<void> {
    if (this.#ending) return;
    try {
      await this.rollback(reason, { wait: WaitFor.ACCEPTED, timeoutMs: ROLLBACK_OF_ABANDONED_MS });
    } catch (error) {
      if (!(error instanceof AssentError)) throw error;
    }
  }

  #carryOut(method: Prepared["method"], request: Message, what: string, options: CallOptions): Promise<Message> {
    return this.client.carryOut(method, request, this.gid, what, timeoutOf(this.transaction), options);
  }
}

// What a service does, whoever asks it: actions and their handlers.
//
//     const shop = new Service("inventory");
//     shop.tcc("reserve", { try: reserve, confirm: deduct, cancel: release });
//
// A handler returns the result (bytes, a string, or nothing), or a promise of it: it has happened, durably. It throws Refused to say
// no, RetryLater to be asked again; any other exception is a failed attempt, and is asked again. Such plain handlers have to keep the
// contract by themselves: the same call again has no second effect and gets the same answer, an undo that comes first is done, and its
// forward operation is refused from then on. The adapters (SQLite, PostgreSQL, MySQL) keep all of it, inside the local transaction:
// prefer them.

import type { Held } from "./barrier.js";
import { type Call, Reply, replyOf, replyTo, retryLater, type Returned } from "./call.js";
import { ConfigError, InvalidArgument, sentenceOf } from "./errors.js";
import { checkName } from "./transaction.js";
import { Kind, Operation, Protocol, shortOf, type Verdict } from "./words.js";

const MAX_ACTIONS = 1024;

export type Handler<Arguments extends unknown[]> = (...args: Arguments) => Returned | Promise<Returned>;
/** Of an operation whose result nobody reads. */
export type SecondHandler<Arguments extends unknown[]> = (...args: Arguments) => unknown;

export interface TccHandlers<Arguments extends unknown[]> {
  readonly try: Handler<Arguments>;
  readonly confirm: SecondHandler<Arguments>;
  readonly cancel: SecondHandler<Arguments>;
}

export interface SagaHandlers<Arguments extends unknown[]> {
  readonly action: Handler<Arguments>;
  /** Without one there is nothing to undo. */
  readonly compensate?: SecondHandler<Arguments>;
}

export interface TwoPhaseHandlers<Arguments extends unknown[]> {
  readonly prepare: Handler<Arguments>;
  readonly commit: SecondHandler<Arguments>;
  readonly rollback: SecondHandler<Arguments>;
}

/** One action: a handler for each of its operations. */
export interface Action<Arguments extends unknown[]> {
  readonly protocol: Protocol;
  readonly name: string;
  readonly handlers: ReadonlyMap<Operation, SecondHandler<Arguments>>;
}

export function keyOf(protocol: Protocol, name: string): string {
  return `${shortOf(protocol)}:${name}`;
}

/** A table of actions, filled before anything starts. ConfigError for what is wrong. */
export class Actions<Arguments extends unknown[]> {
  readonly table = new Map<string, Action<Arguments>>();

  tcc(name: string, handlers: TccHandlers<Arguments>): this {
    return this.put(Protocol.TCC, name, [[Operation.TRY, handlers.try], [Operation.CONFIRM, handlers.confirm], [Operation.CANCEL, handlers.cancel]]);
  }

  saga(name: string, handlers: SagaHandlers<Arguments> | Handler<Arguments>): this {
    const { action, compensate = () => undefined } = typeof handlers === "function" ? { action: handlers } : handlers;
    return this.put(Protocol.SAGA, name, [[Operation.ACTION, action], [Operation.COMPENSATE, compensate]]);
  }

  protected put(protocol: Protocol, name: string, handlers: [Operation, SecondHandler<Arguments> | undefined][]): this {
    try {
      checkName("action", name);
    } catch (wrong) {
      throw wrong instanceof InvalidArgument ? new ConfigError(wrong.message) : wrong;
    }
    const key = keyOf(protocol, name);
    if (this.table.has(key)) throw new ConfigError(`action ${key} is registered twice`);
    for (const [operation, handler] of handlers) {
      if (typeof handler !== "function") throw new ConfigError(`action ${key} has no handler of ${Operation[operation].toLowerCase()}`);
    }
    this.table.set(key, { protocol, name, handlers: new Map(handlers as [Operation, SecondHandler<Arguments>][]) });
    return this;
  }
}

/** A call that somebody waits for, and the one answer to it. */
export class Job {
  #answered = false;

  constructor(readonly call: Call, private readonly respond: (reply: Reply) => void, private readonly isWanted: () => boolean = () => true) {}

  /** False: nobody waits for it any more, and it is answered. Late is as bad as never: what is done should be what somebody wants. */
  begin(): boolean {
    if (this.isWanted()) return true;
    this.answer(retryLater("it waited here for longer than its coordinator waits"));
    return false;
  }

  /** Undefined: nobody can say what has happened; it is asked again. */
  answer(reply: Reply | undefined): void {
    if (this.#answered) return;
    this.#answered = true;
    this.respond(reply ?? new Reply(Kind.UNKNOWN, undefined, "its outcome is not known"));
  }
}

/** What an adapter is: it executes branches against a database of its own. */
export interface Resource {
  actions(): Iterable<{ readonly protocol: Protocol; readonly name: string }>;
  /** Before the first call. ConfigError for what is wrong says what to do. */
  start(): Promise<void>;
  /** The answer may come at any time. */
  execute(job: Job): void;
  /** Branches to ask the coordinator about. */
  questions(limit: number): Promise<Held[]>;
  /** What the coordinator said about one of them. `finished`: no command for its gid will ever be sent again. */
  answer(held: Held, verdict: Verdict, finished: boolean): Promise<void>;
  /** Waits for what runs. */
  close(): Promise<void>;
}

/** A name, plain handlers, and adapters. Run it with Participant or UnaryServer. */
export class Service extends Actions<[call: Call]> {
  readonly resources: Resource[];

  constructor(readonly name: string, ...resources: Resource[]) {
    super();
    try {
      checkName("service", name);
    } catch (wrong) {
      throw wrong instanceof InvalidArgument ? new ConfigError(wrong.message) : wrong;
    }
    this.resources = resources;
  }

  /** Of work that the handlers themselves keep prepared. */
  twoPhase(name: string, handlers: TwoPhaseHandlers<[call: Call]>): this {
    return this.put(Protocol.TWO_PHASE, name, [
      [Operation.PREPARE, handlers.prepare], [Operation.COMMIT, handlers.commit], [Operation.ROLLBACK, handlers.rollback]]);
  }

  attach(resource: Resource): this {
    this.resources.push(resource);
    return this;
  }

  /** Who does what. ConfigError for what is wrong. */
  owners(): Map<string, Owner> {
    const owners = new Map<string, Owner>();
    for (const [key, action] of this.table) owners.set(key, { protocol: action.protocol, name: action.name, action });
    for (const resource of this.resources) {
      for (const { protocol, name } of resource.actions()) {
        const key = keyOf(protocol, name);
        if (owners.has(key)) throw new ConfigError(`action ${key} is registered twice`);
        owners.set(key, { protocol, name, resource });
      }
    }
    if (owners.size === 0) throw new ConfigError(`service ${this.name} has no action: register one with tcc, saga or twoPhase`);
    if (owners.size > MAX_ACTIONS) throw new ConfigError(`service ${this.name} has ${owners.size} actions; at most ${MAX_ACTIONS}`);
    return owners;
  }
}

/** Of one action: an adapter, or the plain action itself. */
export interface Owner {
  readonly protocol: Protocol;
  readonly name: string;
  readonly resource?: Resource;
  readonly action?: Action<[call: Call]>;
}

/**
 * Nobody here can tell that nothing has happened: another version of this service may have executed it, and its answer been lost.
 * (What no instance offers the coordinator refuses by itself, at the first attempt.)
 */
export function unknownAction(call: Call): Reply {
  return retryLater(`no action ${keyOf(call.protocol, call.action)} is registered here`);
}

/** Runs a plain handler. Undefined: nobody can say what has happened. */
export async function runPlain(action: Action<[call: Call]>, call: Call): Promise<Reply | undefined> {
  try {
    const reply = replyOf(await action.handlers.get(call.operation)?.(call), call);
    const commits = call.operation === Operation.PREPARE && call.onePhase && reply.kind === Kind.DONE;
    const committed = commits ? await action.handlers.get(Operation.COMMIT)?.(call) : undefined;
    return committed instanceof Reply && !committed.isDone ? committed.normalized("finish") : reply;
  } catch (error) {
    return replyTo(error);
  }
}

/** Runs so many at once; the others wait. (Who asks bounds how many may wait.) */
export class Workers {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run(work: () => Promise<void>): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}

/** Carries jobs to their owners. */
export class Dispatcher {
  readonly owners: Map<string, Owner>;
  readonly #workers: Workers;

  constructor(readonly service: Service, workers: number) {
    this.owners = service.owners();
    this.#workers = new Workers(workers);
  }

  execute(job: Job): void {
    const owner = this.owners.get(keyOf(job.call.protocol, job.call.action));
    if (!owner) job.answer(unknownAction(job.call));
    else if (owner.resource) owner.resource.execute(job);
    else {
      void this.#workers.run(async () => {
        if (job.begin()) job.answer(await runPlain(owner.action!, job.call));
      });
    }
  }

  async start(): Promise<void> {
    for (const resource of this.service.resources) await resource.start();
  }

  async close(log: (line: string) => void): Promise<void> {
    for (const resource of this.service.resources) await resource.close().catch((error) => log(`a database was not closed: ${sentenceOf(error)}`));
  }
}

// What the adapters of database servers share: connections of a pool, how many operations run at once, and what an error of a COMMIT
// means.

import type { Held } from "./barrier.js";
import { type Call, Reply, replyTo, retryLater, Unknown } from "./call.js";
import { ConfigError, sentenceOf } from "./errors.js";
import { type Action, type Handler, type Job, keyOf, type Resource, unknownAction, Workers } from "./service.js";
import { type Answer, BarrierTable, type DatabaseRow, type Dialect, type Execute, LocalTransaction, secondCall, SqlActions } from "./sql.js";
import type { Lexicon } from "./statements.js";
import { cut, Operation, Protocol, type Verdict } from "./words.js";

const ATTEMPTS = 3; // of one operation that a deadlock, or a serialisation failure, has undone
const RETENTION_MS = 3_600_000;

/** The answer to a COMMIT was lost: it may have happened. */
export class CommitFailed extends Unknown {
  override readonly name = "CommitFailed";
}

/** One of a pool. */
export interface ServerConnection {
  query(sql: string, parameters?: readonly unknown[]): Promise<Answer>;
  /** `broken`: it ends, and with it whatever was not committed. */
  release(broken: boolean): void;
  /** Of the server's process. */
  readonly pid?: number;
}

export interface ServerOptions {
  /** SQL that creates the service's own tables, run when it starts. */
  readonly tables?: string;
  /** How long rows of ended transactions are kept. An hour. */
  readonly retentionMs?: number;
}

/** Statements are awaited: one that is not answered when the handler returns is a failure of the handler, and all of it is undone. */
export class ServerTx extends LocalTransaction {
  readonly #pending = new Set<Promise<Answer>>();
  /** @internal */
  readonly isPostgreSQL: boolean;

  /** @internal `isKept`: it is to be kept prepared. */
  constructor(private readonly connection: ServerConnection, lexicon: Lexicon, readonly isKept = false) {
    super(lexicon);
    this.isPostgreSQL = lexicon.dollar ?? false;
  }

  /** How many rows it has changed. Placeholders are the driver's: "$1" of pg, "?" of mysql2. */
  async run(sql: string, parameters: readonly unknown[] = []): Promise<number> {
    return (await this.#query(sql, parameters)).changed;
  }

  /** The first row, or undefined. */
  async get(sql: string, parameters: readonly unknown[] = []): Promise<DatabaseRow | undefined> {
    return (await this.#query(sql, parameters)).rows[0];
  }

  async all(sql: string, parameters: readonly unknown[] = []): Promise<DatabaseRow[]> {
    return (await this.#query(sql, parameters)).rows;
  }

  #query(sql: string, parameters: readonly unknown[]): Promise<Answer> {
    this.admit(sql);
    const answer = this.connection.query(sql, parameters);
    this.#pending.add(answer);
    const settled = (): void => void this.#pending.delete(answer);
    answer.then(settled, settled);
    return answer;
  }

  override async end(): Promise<void> {
    await super.end();
    const forgotten = this.#pending.size;
    await Promise.allSettled(this.#pending);
    if (forgotten > 0) throw new Error(`the handler has returned before ${forgotten} of its statements were answered: await them`);
  }
}

/** Operations run side by side, each with a connection of its own. */
export abstract class ServerAdapter extends SqlActions<ServerTx> implements Resource {
  readonly #retentionMs: number;
  readonly #workers: Workers;
  readonly #running = new Set<Promise<void>>();
  /** Of our tables, with a dot behind it, so that no handler's SET search_path or USE puts a row elsewhere. Known when it has started. */
  protected schema = "";
  #starting: Promise<void> | undefined;

  protected constructor(protected readonly kind: string, private readonly dialect: Dialect, connections: number, options: ServerOptions) {
    super();
    // An operation may need a second connection, and must not wait for one that another operation has.
    if (connections < 2) throw new ConfigError(`the pool has ${connections} connection; the adapter needs at least 2`);
    this.#workers = new Workers(Math.floor(connections / 2));
    this.#retentionMs = options.retentionMs ?? RETENTION_MS;
  }

  // ---- of each database

  protected abstract connect(): Promise<ServerConnection>;
  /** Tables, and what the server must allow. */
  protected abstract setUp(connection: ServerConnection): Promise<void>;
  protected abstract performOn(connection: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<Reply>;
  /** COMMIT or ROLLBACK of what is prepared. */
  protected abstract settleOn(connection: ServerConnection, call: Call): Promise<Reply>;
  /** It certainly did not happen (a deadlock, a serialisation failure), and may be done at once. */
  protected abstract isAgain(error: unknown): boolean;

  // ---- for the service

  /** The database itself commits or rolls back what `prepare` wrote: there is no other handler. */
  twoPhase(name: string, handlers: { readonly prepare: Handler<[tx: ServerTx, call: Call]> }): this {
    return this.put(Protocol.TWO_PHASE, name, [[Operation.PREPARE, handlers.prepare]]);
  }

  // ---- for what runs it

  start(): Promise<void> {
    this.#starting ??= this.withConnection((connection) => this.setUp(connection)).catch((error) => {
      this.#starting = undefined;
      throw error instanceof ConfigError ? error : new ConfigError(`${this.kind} cannot be used: ${sentenceOf(error)}`, { cause: error });
    });
    return this.#starting;
  }

  execute(job: Job): void {
    const running = this.#workers.run(async () => {
      if (job.begin()) job.answer(await this.#perform(job.call));
    });
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
  }

  /** One operation. Undefined: nobody can say what has happened. */
  async #perform(call: Call): Promise<Reply | undefined> {
    const action = this.table.get(keyOf(call.protocol, call.action));
    if (!action) return unknownAction(call);
    let last: unknown;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      try {
        return await this.withConnection((connection) => this.performOn(connection, action, call));
      } catch (error) {
        if (!this.isAgain(error)) return replyTo(error);
        last = error;
      }
    }
    return retryLater(cut(`${ATTEMPTS} times in vain: ${sentenceOf(last)}`));
  }

  questions(limit: number): Promise<Held[]> {
    return this.withConnection((connection) => this.barrier(connection).held(this.#retentionMs, limit));
  }

  async answer(held: Held, verdict: Verdict, finished: boolean): Promise<void> {
    await this.withConnection(async (connection) => {
      const table = this.barrier(connection);
      const { upkeep, row } = await table.upkeep(held, verdict, finished);
      if (upkeep === "commit" || upkeep === "roll back") await this.settleOn(connection, secondCall(held, row, verdict));
      else if (upkeep === "forget" || upkeep === "orphan") await table.forget(held, row, upkeep, this.#retentionMs);
    });
  }

  /** The pool is yours to end. */
  async close(): Promise<void> {
    await Promise.all(this.#running);
  }

  // ---- for the adapters

  /** What is thrown within ends the connection, and with it whatever was not committed. */
  protected async withConnection<T>(work: (connection: ServerConnection) => Promise<T>): Promise<T> {
    const connection = await this.connect();
    let broken = true;
    try {
      const value = await work(connection);
      broken = false;
      return value;
    } finally {
      connection.release(broken);
    }
  }

  protected barrier(connection: ServerConnection): BarrierTable {
    return new BarrierTable(executeOn(connection), this.dialect, this.schema);
  }

  protected tx(connection: ServerConnection, isKept = false): ServerTx {
    return new ServerTx(connection, this.dialect.lexicon, isKept);
  }
}

export function executeOn(connection: ServerConnection): Execute {
  return (sql, parameters) => connection.query(sql, parameters);
}

/** Work that is to be kept prepared. (A sole branch prepares and commits in one local transaction.) */
export function inTwoPhases(call: Call): boolean {
  return call.protocol === Protocol.TWO_PHASE && !(call.operation === Operation.PREPARE && call.onePhase);
}

// The barrier in PostgreSQL, over pg; two-phase commit by PREPARE TRANSACTION.
//
//     const db = new PostgreSQL(new pg.Pool({ database: "shop" }));
//     db.twoPhase("debit", { async prepare(tx, call) { await tx.run("UPDATE account SET coins = coins - 1 WHERE name = $1", [call.text]); } });
//
// What is prepared: first the handler's work is made durable and unseen (PREPARE TRANSACTION, which holds a row of assent_marker), then
// the barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row was promised to nobody, and a row
// without prepared work has been settled: the marker, which is seen if it was committed, says how.

import { createHash } from "node:crypto";
import { Kept, stateAfter } from "./barrier.js";
import { type Call, done, readOnly, refused, type Reply, Unknown } from "./call.js";
import { ConfigError, sentenceOf } from "./errors.js";
import { CommitFailed, executeOn, inTwoPhases, ServerAdapter, type ServerConnection, type ServerOptions, type ServerTx } from "./server-sql.js";
import type { Action } from "./service.js";
import { type Dialect, openFound, runHandler, runLocal } from "./sql.js";
import { Watch } from "./watch.js";
import { Kind, Operation, Protocol } from "./words.js";

const TABLES = `
CREATE TABLE IF NOT EXISTS assent_barrier(
  gid text NOT NULL, branch_id text NOT NULL,
  protocol integer NOT NULL, action text NOT NULL, state integer NOT NULL,
  kind integer NOT NULL, result bytea, reason text, second_result bytea,
  coordinator_id bigint NOT NULL, began_epoch bigint NOT NULL,
  touched_ms bigint NOT NULL, orphan integer NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id));
CREATE INDEX IF NOT EXISTS assent_barrier_age ON assent_barrier(touched_ms);
CREATE TABLE IF NOT EXISTS assent_marker(gid text NOT NULL, branch_id text NOT NULL, PRIMARY KEY(gid, branch_id));
CREATE TABLE IF NOT EXISTS assent_age(gid text PRIMARY KEY, began_unix_ms bigint NOT NULL, coordinator_id bigint NOT NULL)`;

const DIALECT: Dialect = {
  mark: (n) => `$${n}`, text: "text", orKeep: " ON CONFLICT (gid, branch_id) DO NOTHING", forUpdate: " FOR UPDATE", lexicon: { dollar: true } };
const NOT_DONE = /^(40|23|55)...$/; // classes of errors after which a COMMIT has certainly not happened
const NO_ROOM = /^53...$/; // for one more that is prepared
const AGAIN = ["40001", "40P01"]; // a serialisation failure, a deadlock
const LOCKED = ["55P03", "57014"]; // lock_timeout has passed, or the Watch has ended the wait
const NO_SUCH_PREPARED = "42704";
const ISOLATIONS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] as const;

/** What is answered is on disk; nothing stronger is weakened. */
const DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
const SCHEMA = `SELECT quote_ident(n.nspname) || '.' AS schema,
  EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attname = 'orphan' AND NOT attisdropped) AS complete
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('assent_barrier')`;

/** What is used of a pg.Pool. */
export interface PgPool {
  readonly options?: { readonly max?: number };
  connect(): Promise<PgClient>;
  on(event: "error", listener: (error: Error) => void): unknown;
}
export interface PgClient {
  query(sql: string, parameters?: any[]): Promise<any>;
  release(broken?: boolean): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
}

export interface PostgreSQLOptions extends ServerOptions {
  /** Of handlers' transactions. READ COMMITTED. */
  readonly isolation?: (typeof ISOLATIONS)[number];
  /** How long to wait for a row before the operation is asked again. 2 s. */
  readonly lockTimeoutMs?: number;
}

/** The pool's own settings count. A branch has one owner at a time: an advisory lock. */
export class PostgreSQL extends ServerAdapter {
  readonly #begin: string;
  readonly #lockTimeout: string;

  constructor(private readonly pool: PgPool, private readonly options: PostgreSQLOptions = {}) {
    super("PostgreSQL", DIALECT, pool.options?.max ?? 10, options);
    const isolation = options.isolation ?? "READ COMMITTED";
    if (!ISOLATIONS.includes(isolation)) throw new ConfigError(`isolation is ${isolation}; it is ${ISOLATIONS.join(", ")}`);
    this.#lockTimeout = `SET LOCAL lock_timeout = ${Math.round(options.lockTimeoutMs ?? 2000)}`;
    this.#begin = `BEGIN ISOLATION LEVEL ${isolation}; ${this.#lockTimeout}; ${DURABLE}`;
    // Of a connection that nobody uses: the next that is wanted is made anew. Without a listener it would end the process.
    pool.on("error", ignore);
  }

  protected override async connect(): Promise<ServerConnection> {
    const client = await this.pool.connect();
    client.on("error", ignore); // the statement that needs it says so
    return {
      pid: (client as { processID?: number }).processID,
      query: async (sql, parameters) => {
        const answers = await client.query(sql, parameters as any[]);
        const answer = Array.isArray(answers) ? answers.at(-1) : answers;
        return { rows: answer.rows, changed: answer.rowCount ?? 0, command: answer.command };
      },
      release: (broken) => {
        client.removeListener("error", ignore);
        client.release(broken);
      },
    };
  }

  protected override async setUp(connection: ServerConnection): Promise<void> {
    await connection.query("SELECT pg_advisory_lock(7400)"); // two that create the tables at once get in each other's way
    await connection.query(TABLES);
    const { rows: [table] } = await connection.query(SCHEMA);
    this.schema = table!.schema;
    if (!table!.complete) await connection.query(`ALTER TABLE ${this.schema}assent_barrier ADD COLUMN orphan integer NOT NULL DEFAULT 0`);
    if (this.options.tables?.trim()) await connection.query(this.options.tables);
    await connection.query("SELECT pg_advisory_unlock(7400)");
    const wantsTwoPhase = this.actions().some(({ protocol }) => protocol === Protocol.TWO_PHASE);
    const { rows } = await connection.query("SHOW max_prepared_transactions");
    if (wantsTwoPhase && Number(rows[0]!.max_prepared_transactions) === 0) {
      throw new ConfigError("PostgreSQL keeps no prepared work, which twoPhase actions need: set max_prepared_transactions in postgresql.conf " +
        "(as many as there may be undecided branches; at least max_connections) and restart the server");
    }
  }

  protected override isAgain(error: unknown): boolean {
    return AGAIN.includes(sqlstate(error));
  }

  // ---- one operation

  protected override async performOn(connection: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<Reply> {
    if (inTwoPhases(call)) {
      return await this.#withBranch(connection, call, () =>
        call.operation === Operation.PREPARE ? this.#prepare(connection, action, call) : this.#settle(connection, call));
    }
    let keeps = false;
    const waited = await this.#watched(connection, call, async () => {
      await connection.query(`${this.#begin}; SELECT pg_advisory_xact_lock(${keyOfBranch(call)})`);
      const outcome = await runLocal(this.barrier(connection), action, this.tx(connection), call, executeOn(connection));
      keeps = outcome.keeps;
      return outcome.reply;
    });
    if (waited.inVain) return waited.reply;
    if (keeps) await this.commit(connection);
    else await connection.query("ROLLBACK");
    return waited.reply;
  }

  /** @internal */
  async commit(connection: ServerConnection): Promise<void> {
    let command: string | undefined;
    try {
      ({ command } = await connection.query("COMMIT"));
    } catch (error) {
      if (NOT_DONE.test(sqlstate(error))) throw error;
      throw new CommitFailed(`the answer to a COMMIT was lost: ${sentenceOf(error)}`, { cause: error });
    }
    // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and its driver says nothing.
    if (command !== "COMMIT") throw new Error("the handler has gone on after an error in its transaction");
  }

  /** Nobody else is at this branch. (A lock of the session: one of the transaction would stay with what is prepared.) */
  async #withBranch<T>(connection: ServerConnection, call: Call, work: () => Promise<T>): Promise<T> {
    const key = keyOfBranch(call);
    await connection.query(`BEGIN; ${this.#lockTimeout}; SELECT pg_advisory_lock(${key}); ${DURABLE}; COMMIT`);
    const value = await work();
    await connection.query(`SELECT pg_advisory_unlock(${key})`); // whatever is thrown ends the session, and the lock with it
    return value;
  }

  /** Sees whose prepared work a handler waits for. `inVain`: it was rolled back, and this is the answer. */
  async #watched(connection: ServerConnection, call: Call, work: () => Promise<Reply>): Promise<{ reply: Reply; inVain: boolean }> {
    const watch = new Watch(connection.pid, this.schema, call, (look) => this.withConnection(look));
    try {
      return { reply: await work(), inVain: false };
    } catch (error) {
      await watch.end();
      if (!LOCKED.includes(sqlstate(error))) throw error;
      await connection.query("ROLLBACK");
      return { reply: watch.reply(sentenceOf(error)), inVain: true };
    } finally {
      await watch.end();
    }
  }

  async #prepare(connection: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<Reply> {
    const table = this.barrier(connection);
    const opening = openFound(call, await table.find(call.gid, call.branchId));
    if (opening.move !== "run") return opening.reply;
    const name = nameOf(call);
    await this.#dropUnpromised(connection, name);
    let wrote = false;
    const waited = await this.#watched(connection, call, async () => {
      await connection.query(this.#begin);
      const reply = await runHandler(action, this.tx(connection, true), call);
      if (!reply.isDone) await connection.query("ROLLBACK");
      // (It fails if the handler has gone on after an error.)
      else wrote = reply.kind === Kind.DONE && (await connection.query("SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS wrote")).rows[0]!.wrote;
      return reply;
    });
    let { reply } = waited;
    if (waited.inVain) return reply;
    const state = stateAfter(call, reply, wrote);
    if (state === Kept.READ_ONLY) {
      reply = readOnly(reply.result);
      await connection.query("ROLLBACK");
    }
    if (state === Kept.PREPARED) {
      await connection.query(`INSERT INTO ${this.schema}assent_marker VALUES ($1, $2)`, [call.gid, call.branchId]);
      await this.#makeDurable(connection, name);
    }
    if (state === Kept.NONE) return reply;
    try {
      if (state === Kept.PREPARED) {
        await connection.query(`INSERT INTO ${this.schema}assent_age VALUES ($1, $2, $3) ON CONFLICT (gid) DO NOTHING`,
          [call.gid, call.beganUnixMs, call.coordinatorId]);
      }
      await table.insert(call, state, reply);
    } catch (error) {
      throw new Unknown(`the row of prepared work was not written: ${sentenceOf(error)}`, { cause: error });
    }
    return reply;
  }

  async #makeDurable(connection: ServerConnection, name: string): Promise<void> {
    let command: string | undefined;
    try {
      ({ command } = await connection.query(`PREPARE TRANSACTION '${name}'`));
    } catch (error) {
      if (NOT_DONE.test(sqlstate(error)) || NO_ROOM.test(sqlstate(error))) throw error;
      // "Nothing happened" would leave it prepared for ever, if it is.
      throw new Unknown(`PREPARE TRANSACTION had no answer: ${sentenceOf(error)}`, { cause: error });
    }
    if (command === "ROLLBACK") throw new Error("the handler has ended its transaction, or gone on after an error in it");
  }

  async #isPrepared(connection: ServerConnection, name: string): Promise<boolean> {
    const { rows } = await connection.query("SELECT 1 FROM pg_prepared_xacts WHERE gid = $1 AND database = current_database()", [name]);
    return rows.length > 0;
  }

  /** Prepared work without a row: whoever prepared it died before it could answer. */
  async #dropUnpromised(connection: ServerConnection, name: string): Promise<void> {
    if (await this.#isPrepared(connection, name)) await connection.query(`ROLLBACK PREPARED '${name}'`);
  }

  protected override settleOn(connection: ServerConnection, call: Call): Promise<Reply> {
    return this.#withBranch(connection, call, () => this.#settle(connection, call));
  }

  /** COMMIT or ROLLBACK. */
  async #settle(connection: ServerConnection, call: Call): Promise<Reply> {
    const table = this.barrier(connection);
    const found = await table.find(call.gid, call.branchId);
    const opening = openFound(call, found);
    const name = nameOf(call);
    if (opening.move === "bury") {
      await this.#dropUnpromised(connection, name);
      await table.insert(call, Kept.TOMBSTONE, opening.reply);
    }
    if (opening.move !== "run") return opening.reply;
    const commits = call.operation === Operation.COMMIT;
    if (await this.#isPrepared(connection, name)) {
      try {
        await connection.query(`${commits ? "COMMIT" : "ROLLBACK"} PREPARED '${name}'`);
      } catch (error) {
        if (sqlstate(error) === NO_SUCH_PREPARED) throw new Error("its prepared work was settled by somebody else at this moment", { cause: error });
        throw new Unknown(`${Operation[call.operation]} PREPARED had no answer: ${sentenceOf(error)}`, { cause: error });
      }
    } else {
      const { rows } = await connection.query(`SELECT 1 FROM ${this.schema}assent_marker WHERE gid = $1 AND branch_id = $2`,
        [call.gid, call.branchId]);
      const marked = rows.length > 0;
      if (marked !== commits) {
        return refused(`HAZARD: its prepared work is gone from pg_prepared_xacts: it was ${marked ? "committed" : "rolled back"} by somebody else`);
      }
    }
    await connection.query("BEGIN");
    await table.advance(call, found.row.state, commits ? Kept.FINISHED : Kept.UNDONE);
    await connection.query(`DELETE FROM ${this.schema}assent_marker WHERE gid = $1 AND branch_id = $2`, [call.gid, call.branchId]);
    await connection.query(`DELETE FROM ${this.schema}assent_age a WHERE gid = $1 AND NOT EXISTS ` +
      `(SELECT 1 FROM ${this.schema}assent_barrier b WHERE b.gid = a.gid AND b.state = ${Kept.PREPARED})`, [call.gid]);
    await this.commit(connection);
    return done();
  }
}

const ignore = (): void => undefined;

/** Of what is prepared. Neither part can have a slash, or a quote. */
function nameOf(call: Call): string {
  return `assent/${call.gid}/${call.branchId}`;
}

/**
 * Of the advisory lock: 64 bits, and those of the Python SDK, which may be at the same branch. Two branches that share one wait for each
 * other, and nothing else comes of it.
 */
export function keyOfBranch({ gid, branchId }: { readonly gid: string; readonly branchId: string }): bigint {
  return createHash("sha256").update(`["${gid}", "${branchId}"]`).digest().readBigInt64BE();
}

function sqlstate(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : "";
}

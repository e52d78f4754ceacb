// The barrier in MariaDB (10.5 and later) and MySQL (8), over mysql2; two-phase commit by XA.
//
//     const db = new MySQL(mysql.createPool({ database: "shop" }));               // of mysql2/promise
//     db.twoPhase("debit", { async prepare(tx, call) { await tx.run("UPDATE account SET coins = coins - 1 WHERE name = ?", [call.text]); } });
//
// What is prepared: first the handler's work is made durable and unseen (XA PREPARE, which holds a row of assent_marker) on a session of
// its own, then the barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row was promised to nobody,
// and a row without prepared work has been settled. Which of it is true the marker says, and no word of XA's is believed, for MariaDB says OK
// to an XA COMMIT that does nothing (xa-sessions.ts): its row is locked as long as something is prepared, and then there if that was
// committed, or not there. Statements that commit by themselves (CREATE TABLE, …) are not for handlers.
//
// The working session has a named lock. Whoever has the lock of the branch ends the session that has this one: nothing comes late.

import { createHash } from "node:crypto";
import { Kept, stateAfter } from "./barrier.js";
import { type Call, done, refused, type Reply, RetryLater, Unknown } from "./call.js";
import { ConfigError, sentenceOf } from "./errors.js";
import { CommitFailed, executeOn, inTwoPhases, ServerAdapter, type ServerConnection, type ServerOptions, type ServerTx } from "./server-sql.js";
import type { Action } from "./service.js";
import { type Dialect, GONE, openFound, type Outcome, runHandler, runLocal } from "./sql.js";
import { Kind, Operation } from "./words.js";
import { XaSessions } from "./xa-sessions.js";

const ID = "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL";
const TABLES = [
  `CREATE TABLE IF NOT EXISTS assent_barrier(
  gid ${ID}, branch_id ${ID},
  protocol INT NOT NULL, action VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, state INT NOT NULL,
  kind INT NOT NULL, result MEDIUMBLOB, reason TEXT CHARACTER SET utf8mb4, second_result MEDIUMBLOB,
  coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL,
  touched_ms BIGINT NOT NULL, orphan INT NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id), KEY assent_barrier_age(touched_ms)) ENGINE=InnoDB`,
  `CREATE TABLE IF NOT EXISTS assent_marker(gid ${ID}, branch_id ${ID}, PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB`,
];
const DIALECT: Dialect = {
  mark: () => "?", text: "CHAR", orKeep: " ON DUPLICATE KEY UPDATE gid = gid", forUpdate: " FOR UPDATE", lexicon: { hash: true, backslash: true } };
const AGAIN = [1213, 1020]; // a deadlock, a row that has changed
const NOT_DONE = [1213, 1205, 1062, 1451, 1452]; // of a COMMIT: it has certainly not happened
const NOT_ENDED = [1397, 1440]; // XAER_NOTA, XAER_DUPID: there is no such work, or it is another session's
const IS_LOCKED = [1205, 3572]; // to who does not wait: MariaDB's, MySQL's
const NO_SUCH_SAVEPOINT = [1305];
const NO_SUCH_SESSION = [1094, 1095]; // it has ended, or is another user's
const HAS_COLUMN = [1060];
const FLUSHES = [1, 3]; // of innodb_flush_log_at_trx_commit: 0 loses what is committed with the server, 2 with the machine
const FORMAT = 0x4153; // of an XA id: "AS"
/** How long one waits for who is at the same branch. */
const BRANCH_PATIENCE_S = 5;
/** How long a statement waits for a row. */
const LOCK_PATIENCE_S = 2;
/** Whatever the pool's sessions have: what is ours is committed by us. They get back what they had. */
const OURS = `SESSION autocommit = 1, SESSION completion_type = 0, SESSION innodb_lock_wait_timeout = ${LOCK_PATIENCE_S}`;
const TAKE = "SET @assent_autocommit = @@autocommit, @assent_completion = @@completion_type, @assent_patience = @@innodb_lock_wait_timeout, " + OURS;
const GIVE_BACK = "SET SESSION autocommit = @assent_autocommit, SESSION completion_type = @assent_completion, " +
  "SESSION innodb_lock_wait_timeout = @assent_patience";
const ALONE = "AND NO CHAIN NO RELEASE"; // whatever completion_type a handler has left
const CONNECTIONS = 10; // of a pool that does not say how many it has, as of mysql2

/** Of a branch's row of assent_marker. */
type Mark =
  | "absent" // nothing is prepared, or it was rolled back
  | "held" // something is prepared
  | "committed";

/** What the marker says, and the session that has prepared it, if that is here. */
interface Known {
  readonly mark: Mark;
  readonly work?: ServerConnection;
}

/** What is used of a pool of mysql2/promise. */
export interface MySqlPool {
  readonly pool?: { readonly config?: { readonly connectionLimit?: number } };
  getConnection(): Promise<MySqlConnection>;
}
export interface MySqlConnection {
  query(sql: string, parameters?: any): Promise<any>;
  release(): void;
  destroy(): void;
}

/**
 * The pool's own settings count. A branch has one owner at a time: a named lock. Each branch that is prepared has a connection of the pool
 * until it is decided, of that half of the pool in which operations find their second one.
 */
export class MySQL extends ServerAdapter {
  readonly #sessions: XaSessions;

  constructor(private readonly pool: MySqlPool, private readonly options: ServerOptions = {}) {
    const connections = pool.pool?.config?.connectionLimit ?? CONNECTIONS;
    super("MariaDB or MySQL", DIALECT, connections, options);
    this.#sessions = new XaSessions(Math.ceil(connections / 2) - 1); // and one that is left for the service itself
  }

  override async close(): Promise<void> {
    await super.close();
    this.#sessions.close();
  }

  protected override async connect(): Promise<ServerConnection> {
    const connection = await this.pool.getConnection();
    return {
      query: async (sql, parameters) => {
        const [answer] = await connection.query(sql, parameters);
        return Array.isArray(answer) ? { rows: answer, changed: answer.length } : { rows: [], changed: answer.affectedRows ?? 0 };
      },
      release: (broken) => (broken ? connection.destroy() : connection.release()),
    };
  }

  protected override async setUp(connection: ServerConnection): Promise<void> {
    const { rows: [server] } = await connection.query("SELECT @@global.innodb_flush_log_at_trx_commit AS flushes");
    if (!FLUSHES.includes(Number(server!.flushes))) {
      throw new ConfigError(`the server has innodb_flush_log_at_trx_commit = ${server!.flushes}: what it calls committed would not survive a power cut; ` +
        "set it to 1");
    }
    for (const table of TABLES) await connection.query(table);
    const { rows: [table] } = await connection.query("SELECT CONCAT('`', REPLACE(DATABASE(), '`', '``'), '`.') AS place, (SELECT count(*) FROM " +
      "information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'assent_barrier' AND column_name = 'orphan') AS complete");
    this.schema = table!.place;
    if (Number(table!.complete) === 0) {
      await connection.query(`ALTER TABLE ${this.schema}assent_barrier ADD COLUMN orphan INT NOT NULL DEFAULT 0`).catch((error) => {
        if (!HAS_COLUMN.includes(numberOfError(error))) throw error; // somebody else was just there
      });
    }
    for (const part of (this.options.tables ?? "").split(";")) if (part.trim()) await connection.query(part);
  }

  protected override withConnection<T>(work: (connection: ServerConnection) => Promise<T>): Promise<T> {
    return super.withConnection(async (connection) => {
      await connection.query(TAKE);
      const value = await work(connection);
      await connection.query(GIVE_BACK);
      return value;
    });
  }

  protected override isAgain(error: unknown): boolean {
    return AGAIN.includes(numberOfError(error));
  }

  // ---- one operation

  protected override performOn(connection: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<Reply> {
    return this.#withBranch(connection, call, async () => {
      if (inTwoPhases(call)) {
        return call.operation === Operation.PREPARE ? await this.#prepare(connection, action, call) : await this.#settle(connection, call);
      }
      // Not START TRANSACTION: after an error that rolls back, a handler that goes on would commit each of its statements.
      await connection.query("SET SESSION autocommit = 0");
      let outcome: Outcome;
      try {
        outcome = await runLocal(this.barrier(connection), action, this.tx(connection), call, executeOn(connection));
      } catch (error) {
        throw NO_SUCH_SAVEPOINT.includes(numberOfError(error)) ? new Error(GONE, { cause: error }) : error;
      }
      if (outcome.keeps) await this.commit(connection);
      else await connection.query(`ROLLBACK ${ALONE}`);
      return outcome.reply;
    });
  }

  /** @internal */
  async commit(connection: ServerConnection): Promise<void> {
    try {
      await connection.query(`COMMIT ${ALONE}`);
    } catch (error) {
      if (NOT_DONE.includes(numberOfError(error))) throw error;
      throw new CommitFailed(`the answer to a COMMIT was lost: ${sentenceOf(error)}`, { cause: error });
    }
  }

  /** Also where the session comes with a transaction that somebody has left open. */
  async #inTransaction(connection: ServerConnection, work: () => Promise<void>): Promise<void> {
    await connection.query("START TRANSACTION");
    await work();
    await this.commit(connection);
  }

  /** Nobody else is at this branch. The lock ends with the connection, whatever is thrown. */
  async #withBranch<T>(connection: ServerConnection, call: Call, work: () => Promise<T>): Promise<T> {
    const name = lockOfBranch(call);
    const { rows } = await connection.query("SELECT GET_LOCK(?, ?) AS got", [name, BRANCH_PATIENCE_S]);
    if (Number(rows[0]!.got) !== 1) throw new Error("somebody else is at this branch");
    const value = await work();
    await connection.query("SELECT RELEASE_LOCK(?)", [name]);
    return value;
  }

  async #prepare(connection: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<Reply> {
    const table = this.barrier(connection);
    const opening = openFound(call, await table.find(call.gid, call.branchId, DIALECT.forUpdate));
    if (opening.move !== "run") return opening.reply;
    await this.#dropUnpromised(connection, call);
    const [reply, state] = await this.#prepareInSession(connection, action, call);
    if (state === Kept.NONE) return reply;
    try {
      await this.#inTransaction(connection, () => table.insert(call, state, reply));
    } catch (error) {
      throw new Unknown(`the row of prepared work was not written: ${sentenceOf(error)}`, { cause: error });
    }
    return reply;
  }

  async #prepareInSession(main: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<[Reply, Kept]> {
    this.#sessions.beginPreparing();
    let work: ServerConnection | undefined;
    let kept = false;
    try {
      work = await this.connect();
      await work.query(`SET ${OURS}`);
      const { rows } = await work.query("SELECT GET_LOCK(?, ?) AS got", [workLockOfBranch(call), BRANCH_PATIENCE_S]);
      if (Number(rows[0]!.got) !== 1) throw new Error("another session works on this branch");
      // One address, and behind it two servers: a promise would be in one, its row in the other.
      if ((await this.#worker(main, call)) === null) throw new Error("two connections have found two servers; connect to the server itself");
      const [reply, state] = await this.#prepareOn(work, action, call);
      kept = state === Kept.PREPARED;
      if (kept) this.#sessions.keep(call, work);
      return [reply, state];
    } finally {
      if (!kept) {
        work?.release(true);
        this.#sessions.endPreparing();
      }
    }
  }

  async #prepareOn(work: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<[Reply, Kept]> {
    await work.query(`XA START ${xidOf(call)}`);
    const reply = await runHandler(action, this.tx(work, true), call);
    const state = stateAfter(call, reply, reply.kind !== Kind.DONE_READ_ONLY);
    if (state === Kept.PREPARED) await work.query(`INSERT INTO ${this.schema}assent_marker VALUES (?, ?)`, [call.gid, call.branchId]);
    await work.query(`XA END ${xidOf(call)}`);
    try {
      await work.query(`XA ${state === Kept.PREPARED ? "PREPARE" : "ROLLBACK"} ${xidOf(call)}`);
    } catch (error) {
      if (NOT_DONE.includes(numberOfError(error))) throw error;
      throw new Unknown(`XA PREPARE had no answer: ${sentenceOf(error)}`, { cause: error });
    }
    return [reply, state];
  }

  async #mark(connection: ServerConnection, call: Call): Promise<Mark> {
    try {
      const { rows } = await connection.query(`SELECT 1 FROM ${this.schema}assent_marker FORCE INDEX(PRIMARY) ` +
        "WHERE gid = ? AND branch_id = ? FOR UPDATE NOWAIT", [call.gid, call.branchId]);
      return rows.length === 0 ? "absent" : "committed";
    } catch (error) {
      if (IS_LOCKED.includes(numberOfError(error))) return "held";
      throw error;
    }
  }

  /** Who has the lock of the working session. */
  async #worker(connection: ServerConnection, call: Call): Promise<number | null> {
    const { rows } = await connection.query("SELECT IS_USED_LOCK(?) AS worker", [workLockOfBranch(call)]);
    return rows[0]!.worker === null ? null : Number(rows[0]!.worker);
  }

  /** Afterwards no other session works on the branch any more. */
  async #look(connection: ServerConnection, call: Call): Promise<Known> {
    const worker = await this.#worker(connection, call);
    const work = this.#sessions.take(call);
    if (work && worker !== null) return { mark: "held", work }; // it can do nothing else
    work?.release(true);
    if (worker !== null) await this.#endSession(connection, worker, call);
    return { mark: await this.#mark(connection, call) };
  }

  /** Its client has gone, or is another process. */
  async #endSession(connection: ServerConnection, worker: number, call: Call): Promise<void> {
    try {
      await connection.query(`KILL CONNECTION ${worker}`);
    } catch (error) {
      if (!NO_SUCH_SESSION.includes(numberOfError(error))) throw error;
    }
    const { rows } = await connection.query("SELECT GET_LOCK(?, ?) AS got", [workLockOfBranch(call), LOCK_PATIENCE_S]);
    if (Number(rows[0]!.got) !== 1) throw new RetryLater("the session that worked on this branch has not ended yet");
    await connection.query("SELECT RELEASE_LOCK(?)", [workLockOfBranch(call)]);
  }

  /** Settles what is prepared, in the session that has prepared it if there is one. Returns when the marker says so. */
  async #end(connection: ServerConnection, { work }: Known, verb: "COMMIT" | "ROLLBACK", call: Call): Promise<void> {
    if (!work) await this.#sessions.waitDetached(call);
    let said = "OK";
    try {
      await (work ?? connection).query(`XA ${verb} ${xidOf(call)}`);
    } catch (error) {
      if (!NOT_ENDED.includes(numberOfError(error))) throw new Unknown(`XA ${verb} had no answer: ${sentenceOf(error)}`, { cause: error });
      said = sentenceOf(error);
    } finally {
      work?.release(true);
    }
    const mark = await this.#mark(connection, call);
    if (mark === "held") {
      throw new RetryLater(`it is still prepared, but MariaDB said to XA ${verb}: ${said} -- if this lasts, restart MariaDB, which finds it again`);
    }
    if (mark !== (verb === "COMMIT" ? "committed" : "absent")) throw new RetryLater("it was ended by somebody else at this moment");
    this.#sessions.forgetDetached(call);
  }

  /** Prepared work without a row: whoever prepared it died before it could answer. */
  async #dropUnpromised(connection: ServerConnection, call: Call): Promise<void> {
    const known = await this.#look(connection, call);
    if (known.mark === "held") await this.#end(connection, known, "ROLLBACK", call);
  }

  protected override settleOn(connection: ServerConnection, call: Call): Promise<Reply> {
    return this.#withBranch(connection, call, () => this.#settle(connection, call));
  }

  /** COMMIT or ROLLBACK. */
  async #settle(connection: ServerConnection, call: Call): Promise<Reply> {
    const table = this.barrier(connection);
    const found = await table.find(call.gid, call.branchId, DIALECT.forUpdate);
    const opening = openFound(call, found);
    if (opening.move === "bury") {
      await this.#dropUnpromised(connection, call);
      await this.#inTransaction(connection, () => table.insert(call, Kept.TOMBSTONE, opening.reply));
    }
    if (opening.move !== "run") return opening.reply;
    const commits = call.operation === Operation.COMMIT;
    const known = await this.#look(connection, call);
    if (known.mark === "held") {
      await this.#end(connection, known, commits ? "COMMIT" : "ROLLBACK", call);
    } else if ((known.mark === "committed") !== commits) {
      return refused(`HAZARD: its prepared work is gone from XA RECOVER: it was ${commits ? "rolled back" : "committed"} by somebody else`);
    }
    await this.#inTransaction(connection, async () => {
      await table.advance(call, found.row.state, commits ? Kept.FINISHED : Kept.UNDONE);
      await connection.query(`DELETE FROM ${this.schema}assent_marker WHERE gid = ? AND branch_id = ?`, [call.gid, call.branchId]);
    });
    return done();
  }
}

/** That of the Python SDK, which may be at the same branch. */
export function lockOfBranch(call: Call): string {
  return `assent/${createHash("sha256").update(`${call.gid}/${call.branchId}`).digest("hex").slice(0, 40)}`;
}

/** Of the session that works on what is to be prepared. */
export function workLockOfBranch(call: Call): string {
  return `${lockOfBranch(call)}/work`;
}

/** Neither part can have a quote, and both are at most 64 bytes, as XA wants them. */
function xidOf(call: Call): string {
  return `'${call.gid}','${call.branchId}',${FORMAT}`;
}

function numberOfError(error: unknown): number {
  const { errno } = error as { errno?: unknown };
  return typeof errno === "number" ? errno : 0;
}

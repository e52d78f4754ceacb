// The barrier in MariaDB (10.5 and later) and MySQL (8), over mysql2; two-phase commit by XA.
//
//     const db = new MySQL(mysql.createPool({ database: "shop" }));               // of mysql2/promise
//     db.twoPhase("debit", { async prepare(tx, call) { await tx.run("UPDATE account SET coins = coins - 1 WHERE name = ?", [call.text]); } });
//
// What is prepared: first the handler's work is made durable and unseen (XA PREPARE, which holds a row of assent_marker) on a connection
// that then ends, then the barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row was promised
// to nobody, and a row without prepared work has been settled: the marker, which is seen if it was committed, says how. Statements that
// commit by themselves (CREATE TABLE, …) are not for handlers.

import { createHash } from "node:crypto";
import { Kept, openCall, stateAfter } from "./barrier.js";
import { type Call, done, refused, type Reply, Unknown } from "./call.js";
import { sentenceOf } from "./errors.js";
import { CommitFailed, executeOn, inTwoPhases, ServerAdapter, type ServerConnection, type ServerOptions, ServerTx } from "./server-sql.js";
import type { Action } from "./service.js";
import { runHandler, runLocal } from "./sql.js";
import { Kind, Operation } from "./words.js";

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
const AGAIN = [1213, 1020]; // a deadlock, a row that has changed
const NOT_DONE = [1213, 1205, 1062, 1451, 1452]; // of a COMMIT: it has certainly not happened
const NOT_ATTACHED = [1397, 1440]; // XAER_NOTA, XAER_DUPID: its first connection has not let go of it yet, or it is settled
const FORMAT = 0x4153; // of an XA id: "AS"
const DETACHES_WITHIN_MS = 5000;
const DETACH_PAUSE_MS = 10;
const BRANCH_PATIENCE_S = 5;
const LOCK_PATIENCE_S = 2;

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

/** The pool's own settings count. A branch has one owner at a time: a named lock. */
export class MySQL extends ServerAdapter {
  constructor(private readonly pool: MySqlPool, private readonly options: ServerOptions = {}) {
    super("MariaDB or MySQL", { mark: () => "?", text: "CHAR" }, pool.pool?.config?.connectionLimit ?? 10, options);
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
    for (const part of [...TABLES, ...(this.options.tables ?? "").split(";")]) if (part.trim()) await connection.query(part);
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
      await connection.query(`SET SESSION innodb_lock_wait_timeout = ${LOCK_PATIENCE_S}`);
      await connection.query("START TRANSACTION");
      const reply = await runLocal(this.barrier(connection), action, new ServerTx(connection), call, executeOn(connection));
      await this.commit(connection);
      return reply;
    });
  }

  /** @internal */
  async commit(connection: ServerConnection): Promise<void> {
    try {
      await connection.query("COMMIT");
    } catch (error) {
      if (NOT_DONE.includes(numberOfError(error))) throw error;
      throw new CommitFailed(`the answer to a COMMIT was lost: ${sentenceOf(error)}`, { cause: error });
    }
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
    const opening = openCall(call, await table.find(call.gid, call.branchId));
    if (opening.move !== "run") return opening.reply;
    await this.#dropUnpromised(connection, call);
    const work = await this.connect(); // what has prepared something can do nothing else until it is settled: it ends
    let reply: Reply;
    let state: Kept;
    try {
      [reply, state] = await this.#prepareOn(work, action, call);
    } finally {
      work.release(true);
    }
    if (state === Kept.NONE) return reply;
    try {
      await table.put(call, state, reply);
    } catch (error) {
      throw new Unknown(`the row of prepared work was not written: ${sentenceOf(error)}`, { cause: error });
    }
    return reply;
  }

  async #prepareOn(work: ServerConnection, action: Action<[tx: ServerTx, call: Call]>, call: Call): Promise<[Reply, Kept]> {
    await work.query(`SET SESSION innodb_lock_wait_timeout = ${LOCK_PATIENCE_S}`);
    await work.query(`XA START ${xidOf(call)}`);
    const reply = await runHandler(action, new ServerTx(work), call);
    const state = stateAfter(call, reply, reply.kind !== Kind.DONE_READ_ONLY);
    if (state === Kept.PREPARED) await work.query("INSERT INTO assent_marker VALUES (?, ?)", [call.gid, call.branchId]);
    await work.query(`XA END ${xidOf(call)}`);
    try {
      await work.query(`XA ${state === Kept.PREPARED ? "PREPARE" : "ROLLBACK"} ${xidOf(call)}`);
    } catch (error) {
      if (NOT_DONE.includes(numberOfError(error))) throw error;
      throw new Unknown(`XA PREPARE had no answer: ${sentenceOf(error)}`, { cause: error });
    }
    return [reply, state];
  }

  async #isPrepared(connection: ServerConnection, call: Call): Promise<boolean> {
    const { rows } = await connection.query("XA RECOVER");
    return rows.some((row) => row.formatID === FORMAT && row.gtrid_length === call.gid.length && row.bqual_length === call.branchId.length &&
      String(row.data) === call.gid + call.branchId);
  }

  /** Settles what is prepared. Its first connection may not have let go of it yet. */
  async #end(connection: ServerConnection, verb: "COMMIT" | "ROLLBACK", call: Call): Promise<void> {
    for (const end = performance.now() + DETACHES_WITHIN_MS; ; ) {
      try {
        await connection.query(`XA ${verb} ${xidOf(call)}`);
        return;
      } catch (error) {
        if (!NOT_ATTACHED.includes(numberOfError(error))) throw new Unknown(`XA ${verb} had no answer: ${sentenceOf(error)}`, { cause: error });
        if (!(await this.#isPrepared(connection, call))) return; // settled meanwhile: the marker says how
        if (performance.now() > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, DETACH_PAUSE_MS)); // the server tells nobody when a connection is gone
      }
    }
  }

  /** Prepared work without a row: whoever prepared it died before it could answer. */
  async #dropUnpromised(connection: ServerConnection, call: Call): Promise<void> {
    if (await this.#isPrepared(connection, call)) await this.#end(connection, "ROLLBACK", call);
  }

  protected override settleOn(connection: ServerConnection, call: Call): Promise<Reply> {
    return this.#withBranch(connection, call, () => this.#settle(connection, call));
  }

  /** COMMIT or ROLLBACK. */
  async #settle(connection: ServerConnection, call: Call): Promise<Reply> {
    const table = this.barrier(connection);
    const opening = openCall(call, await table.find(call.gid, call.branchId));
    if (opening.move === "bury") {
      await this.#dropUnpromised(connection, call);
      await table.put(call, Kept.TOMBSTONE, opening.reply);
    }
    if (opening.move !== "run") return opening.reply;
    const commits = call.operation === Operation.COMMIT;
    if (await this.#isPrepared(connection, call)) await this.#end(connection, commits ? "COMMIT" : "ROLLBACK", call);
    const { rows } = await connection.query("SELECT 1 FROM assent_marker WHERE gid = ? AND branch_id = ?", [call.gid, call.branchId]);
    const marked = rows.length > 0;
    if (marked !== commits) {
      return refused(`HAZARD: its prepared work is gone from XA RECOVER: it was ${marked ? "committed" : "rolled back"} by somebody else`);
    }
    await connection.query("START TRANSACTION");
    await table.advance(call.gid, call.branchId, commits ? Kept.FINISHED : Kept.UNDONE);
    await connection.query("DELETE FROM assent_marker WHERE gid = ? AND branch_id = ?", [call.gid, call.branchId]);
    await this.commit(connection);
    return done();
  }
}

/** That of the Python SDK, which may be at the same branch. */
export function lockOfBranch(call: Call): string {
  return `assent/${createHash("sha256").update(`${call.gid}/${call.branchId}`).digest("hex").slice(0, 40)}`;
}

/** Neither part can have a quote, and both are at most 64 bytes, as XA wants them. */
function xidOf(call: Call): string {
  return `'${call.gid}','${call.branchId}',${FORMAT}`;
}

function numberOfError(error: unknown): number {
  const { errno } = error as { errno?: unknown };
  return typeof errno === "number" ? errno : 0;
}

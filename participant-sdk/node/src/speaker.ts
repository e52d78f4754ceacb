// The local transaction that is open on a connection of the user's, or that a handler has: who writes a row of ours into it, at once or promised.

import { FailedPrecondition, InvalidArgument } from "./errors.js";
import { isPool } from "./outbox-sessions.js";
import { type Flavour, MYSQL, POSTGRESQL, SQLITE, sqlOf } from "./outbox-sql.js";
import { ServerTx } from "./server-sql.js";
import type { Answer } from "./sql.js";
import { SQLiteTx } from "./sqlite.js";

const DUPLICATE = [1062]; // of MySQL
const IN_TRANSACTION = 1; // SERVER_STATUS_IN_TRANS
const IN_AUTOCOMMIT = 2; // SERVER_STATUS_AUTOCOMMIT

/** What is used of a connection of better-sqlite3. */
export interface SQLiteConnection {
  readonly inTransaction: boolean;
  prepare(sql: string): any;
}
/** And of pg (a client), of mysql2/promise. */
export interface QueryConnection {
  query(sql: any, parameters?: any): Promise<any>;
}
export type Publishing = SQLiteConnection | QueryConnection | SQLiteTx | ServerTx;

/** Who carries out statements; at once, or promised. */
export interface Speaker {
  readonly flavour: Flavour;
  readonly run: (sql: string, parameters: readonly unknown[], reads: boolean) => ServerAnswer | Promise<ServerAnswer>;
  /** A handler's: it is in a transaction, which may be one that is to be prepared. */
  readonly tx?: SQLiteTx | ServerTx;
  /** Of SQLite, without a `tx`. */
  readonly connection?: SQLiteConnection;
}
interface ServerAnswer extends Answer {
  readonly status?: number;
}
interface Step {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly reads: boolean;
}
/** Statements one after the other. What one of them meets is thrown where it was yielded. */
export type Steps<T> = Generator<Step, T, ServerAnswer>;

export function ask(flavour: Flavour, text: string, parameters: readonly unknown[] = [], reads = true): Step {
  return { sql: sqlOf(flavour, text), parameters, reads };
}

export async function carryOut<T>(speaker: Speaker, steps: Steps<T>): Promise<T> {
  for (let step = steps.next(); ; ) {
    if (step.done) return step.value;
    let answer: ServerAnswer;
    try {
      answer = await speaker.run(step.value.sql, step.value.parameters, step.value.reads);
    } catch (error) {
      step = steps.throw(error);
      continue;
    }
    step = steps.next(answer);
  }
}

/** Over better-sqlite3. */
export function carryOutSync<T>(speaker: Speaker, steps: Steps<T>): T {
  if (speaker.flavour !== SQLITE) throw new InvalidArgument(`over ${speaker.flavour.name} it is a promise: await what has no Sync in its name`);
  for (let step = steps.next(); ; ) {
    if (step.done) return step.value;
    let answer: ServerAnswer;
    try {
      answer = speaker.run(step.value.sql, step.value.parameters, step.value.reads) as ServerAnswer;
    } catch (error) {
      step = steps.throw(error);
      continue;
    }
    step = steps.next(answer);
  }
}

/** FailedPrecondition: no transaction is open. */
export function* checkTransaction({ flavour, tx, connection }: Speaker): Steps<void> {
  const alone = (): FailedPrecondition => new FailedPrecondition("no transaction is open on this connection: begin one, and say it within it");
  if (tx) return;
  if (flavour === MYSQL) {
    const { status } = yield ask(flavour, "DO 0", [], false);
    if (status === undefined || (!(status & IN_TRANSACTION) && status & IN_AUTOCOMMIT)) throw alone();
  }
  if (flavour.isAlone) {
    const { rows: [found] } = yield ask(flavour, flavour.isAlone);
    if (found!.alone) throw alone();
  }
  if (connection && !connection.inTransaction) throw alone();
}

/** What kind of connection it is, as far as that can be seen. */
export function speakerOf(on: any): Speaker {
  if (on instanceof SQLiteTx) {
    return { flavour: SQLITE, tx: on, run: (sql, parameters, reads) => (reads ? { rows: on.all(sql, parameters), changed: 0 } : { rows: [], changed: on.run(sql, parameters) }) };
  }
  if (on instanceof ServerTx) {
    const run = async (sql: string, parameters: readonly unknown[], reads: boolean): Promise<ServerAnswer> =>
      reads ? { rows: await on.all(sql, parameters), changed: 0 } : { rows: [], changed: await on.run(sql, parameters) };
    return { flavour: on.isPostgreSQL ? POSTGRESQL : MYSQL, tx: on, run };
  }
  if (typeof on?.prepare === "function" && typeof on.inTransaction === "boolean") {
    const run = (sql: string, parameters: readonly unknown[], reads: boolean): ServerAnswer =>
      reads ? { rows: on.prepare(sql).all(...parameters), changed: 0 } : { rows: [], changed: on.prepare(sql).run(...parameters).changes };
    return { flavour: SQLITE, connection: on, run };
  }
  if (isPool(on)) throw new InvalidArgument("a pool has many connections: take the one whose transaction it is");
  if (typeof on?.query === "function" && typeof on.escapeIdentifier === "function") {
    return { flavour: POSTGRESQL, run: async (sql, parameters) => {
      const { rows, rowCount } = await (parameters.length > 0 ? on.query(sql, parameters) : on.query(sql));
      return { rows, changed: rowCount ?? 0 };
    } };
  }
  if (typeof on?.query === "function" && typeof on.beginTransaction === "function" && typeof on.promise !== "function") {
    return { flavour: MYSQL, run: async (sql, parameters) => {
      const [answer] = await on.query(sql, parameters);
      return Array.isArray(answer) ? { rows: answer, changed: 0 } : { rows: [], changed: answer.affectedRows ?? 0, status: answer.serverStatus };
    } };
  }
  throw new InvalidArgument("it is no client of pg, no connection of mysql2/promise or better-sqlite3, and no handler's tx");
}

/** MySQL's; others are asked not to throw it. */
export function isDuplicate(error: unknown, flavour: Flavour): boolean {
  return flavour === MYSQL && DUPLICATE.includes((error as { errno?: number }).errno ?? 0);
}

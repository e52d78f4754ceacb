// Connections for who looks at the table assent_outbox: each is one of the pool's that nobody else has meanwhile, and that ends afterwards,
// since it has settings of its own.

import type { MySqlPool } from "./mysql.js";
import { MYSQL, POSTGRESQL, type Session, SQLITE } from "./outbox-sql.js";
import type { PgPool } from "./postgresql.js";
import { openSQLite } from "./sqlite.js";

const BUSY_PAUSE_MS = 5;
const BUSY_PATIENCE_MS = 2000;

export function isPool(it: any): boolean {
  return typeof it?.getConnection === "function" || (typeof it?.connect === "function" && typeof it.totalCount === "number");
}

export async function sessionOf(where: PgPool | MySqlPool | string): Promise<Session> {
  if (typeof where === "string") return await inSQLite(where);
  return "getConnection" in where ? await inMySQL(where) : await inPostgreSQL(where);
}

async function inPostgreSQL(pool: PgPool): Promise<Session> {
  const ignore = (): void => undefined; // the statement that needs it says so
  const client: any = await pool.connect();
  client.on("error", ignore);
  let heard: (() => void) | undefined;
  return {
    flavour: POSTGRESQL,
    query: async (sql, parameters) => {
      const { rows, rowCount } = await client.query(sql, parameters as any[]);
      return { rows, changed: rowCount ?? 0 };
    },
    listen: async (news) => {
      heard = news;
      client.on("notification", heard);
      await client.query("LISTEN assent_outbox");
    },
    end: () => {
      if (heard) client.removeListener("notification", heard);
      client.release(true); // its "error" is still ignored: it comes late
    },
  };
}

async function inMySQL(pool: MySqlPool): Promise<Session> {
  const connection = await pool.getConnection();
  return {
    flavour: MYSQL,
    query: async (sql, parameters) => {
      const [answer] = await connection.query(sql, parameters);
      return Array.isArray(answer) ? { rows: answer, changed: 0 } : { rows: [], changed: answer.affectedRows ?? 0 };
    },
    listen: async () => undefined,
    end: () => connection.destroy(),
  };
}

/** Synchronous under the promise, as better-sqlite3 is; who else writes is waited for without holding anything up. */
async function inSQLite(path: string): Promise<Session> {
  const db = await openSQLite(path, 0);
  const carryOut = (sql: string, parameters: readonly unknown[]): { rows: any[]; changed: number } => {
    const statement = db.prepare(sql);
    return statement.reader ? { rows: statement.all(parameters), changed: 0 } : { rows: [], changed: statement.run(parameters).changes };
  };
  return {
    flavour: SQLITE,
    query: async (sql, parameters = []) => {
      for (const end = performance.now() + BUSY_PATIENCE_MS; ; ) {
        try {
          return carryOut(sql, parameters);
        } catch (error) {
          if (!/^SQLITE_BUSY/.test((error as { code?: string }).code ?? "") || performance.now() >= end) throw error;
          await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS)); // the other one tells nobody when it is ready
        }
      }
    },
    listen: async () => undefined,
    end: () => void db.close(),
  };
}

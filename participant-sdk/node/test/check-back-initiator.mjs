// An initiator that the tests kill: `check-back-initiator.mjs KIND GID END`. OUTBOX_DATABASE says where. END "commit": kill -9 of itself behind the
// COMMIT, "rollback": before it; the coordinator hears nothing more.

import Database from "better-sqlite3";
import { createConnection } from "mysql2/promise";
import pg from "pg";
import { Client, enlist, Transaction } from "assent-sdk";

const [, , kind, gid, end] = process.argv;
const url = process.env.OUTBOX_DATABASE;
const connect = {
  SQLite: () => new Database(url, { timeout: 20_000 }),
  PostgreSQL: async () => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    return client;
  },
  MariaDB: () => createConnection({ uri: url }),
}[kind];
const message = new Transaction({ gid }).checkBack("orders", "placed", { firstAskedMs: 100 }).saga("shop", "ship");
await new Client().prepare(message);
const connection = await connect();
const say = async (sql) => await (connection.exec?.(sql) ?? connection.query?.(sql));
await say("BEGIN");
await say(`INSERT INTO orders VALUES ('${gid}')`);
await enlist(connection, message);
if (end === "commit") await say("COMMIT");
process.kill(process.pid, "SIGKILL");

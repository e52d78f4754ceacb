// A relay in a process of its own, which the tests kill: `outbox-relay.mjs KIND [POINT]`. OUTBOX_DATABASE says where. POINT: kill -9 of itself there.

import { createPool } from "mysql2/promise";
import pg from "pg";
import { Outbox, Relay } from "assent-sdk";

const [, , kind, point] = process.argv;
const url = process.env.OUTBOX_DATABASE;
const where = { SQLite: () => url, PostgreSQL: () => new pg.Pool({ connectionString: url }), MariaDB: () => createPool({ uri: url }) }[kind]();
const atPoint = (at) => at === point && process.kill(process.pid, "SIGKILL");
const relay = await new Relay(new Outbox(where), { leaseMs: 2000, callTimeoutMs: 1000, pollMs: 50, atPoint, log: console.log }).start();
process.once("SIGTERM", async () => {
  await relay.stop();
  await where.end?.();
});

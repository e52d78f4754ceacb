// The service that assent-contract examines (docs/contract.md), whichever way it is reached: a ledger behind the barrier, in SQLite or, with CONTRACT_POSTGRES=URL or
// CONTRACT_MARIADB=URL, in a database server. (CONTRACT_SERVICE: under another name, for tests of several.)

import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import * as assent from "assent-sdk";

const { CONTRACT_POSTGRES, CONTRACT_MARIADB, CONTRACT_SERVICE = "contract", ASSENT_CONTRACT_FOLDER, ASSENT_CONTRACT_START } = process.env;
const TABLE = "CREATE TABLE IF NOT EXISTS ledger(account VARCHAR(128) PRIMARY KEY, balance BIGINT NOT NULL, held BIGINT NOT NULL)";
const ON_CONFLICT = "ON CONFLICT(account) DO UPDATE SET balance = ledger.balance + excluded.balance, held = ledger.held + excluded.held";
const ON_DUPLICATE = "ON DUPLICATE KEY UPDATE balance = balance + VALUES(balance), held = held + VALUES(held)";

/** The adapter, and what is written otherwise in its dialect. */
async function database() {
  if (CONTRACT_POSTGRES) {
    const { default: pg } = await import("pg");
    const pool = new pg.Pool({ connectionString: CONTRACT_POSTGRES, max: 20 });
    return { db: new assent.PostgreSQL(pool, { tables: TABLE }), marks: ["$1", "$2", "$3"], upsert: ON_CONFLICT, pool };
  }
  if (CONTRACT_MARIADB) {
    const { createPool } = await import("mysql2/promise");
    const pool = createPool({ uri: CONTRACT_MARIADB, connectionLimit: 20 });
    return { db: new assent.MySQL(pool, { tables: TABLE.replace("VARCHAR(128)", "VARBINARY(128)") }), marks: ["?", "?", "?"], upsert: ON_DUPLICATE, pool };
  }
  return { db: new assent.SQLite(join(ASSENT_CONTRACT_FOLDER, "ledger.db"), { tables: TABLE }), marks: ["?", "?", "?"], upsert: ON_CONFLICT };
}

const { db, marks, upsert, pool } = await database();

export const end = () => pool?.end();

async function change(tx, account, balance, held) {
  await tx.run(`INSERT INTO ledger(account, balance, held) VALUES(${marks.join(", ")}) ${upsert}`, [account, balance, held]);
}

async function read(tx, account) {
  const found = await tx.get(`SELECT balance, held FROM ledger WHERE account = ${marks[0]}`, [account]);
  return { balance: Number(found?.balance ?? 0), held: Number(found?.held ?? 0) };
}

const forward = (balance, held) => async (tx, call) => {
  const asked = call.json();
  await change(tx, asked.account, balance * asked.amount, held * asked.amount);
  const now = await read(tx, asked.account);
  if (now.balance + now.held < 0) throw new assent.Refused("not enough");
  if (asked.wait_ms) await pause(asked.wait_ms);
  if (asked.crash_at_start === Number(ASSENT_CONTRACT_START)) process.kill(process.pid, "SIGKILL");
  if (asked.fail) throw new Error("failed as it was told");
  if (asked.refuse_hex) throw new assent.Refused(Buffer.from(asked.refuse_hex, "hex").toString());
  return JSON.stringify(now);
};
const second = (balance, held) => async (tx, call) => {
  const { account, amount } = call.json();
  await change(tx, account, balance * amount, held * amount);
};

db.tcc("add", { try: forward(0, 1), confirm: second(1, -1), cancel: second(0, -1) });
db.saga("add", { action: forward(1, 0), compensate: second(-1, 0) });
if (pool) db.twoPhase("add", { prepare: forward(1, 0) });
db.saga("read", async (tx, call) => JSON.stringify(await read(tx, call.json().account)));
db.saga("bytes", (tx, call) => call.payload);
db.saga("echo", (tx, call) => JSON.stringify({
  headers: Object.fromEntries(call.headers), ...call.trace,
  results: Object.fromEntries([...call.results].map(([branch, result]) => [branch, Buffer.from(result).toString()])),
}));

export const service = new assent.Service(CONTRACT_SERVICE, db);

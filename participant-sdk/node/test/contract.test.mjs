// assent-contract holds a participant and an initiator to the contract (docs/contract.md).

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { binary, HERE, run, startMariaDB, startPostgres } from "./rig.mjs";

async function holds(words, { script = "participant.mjs", environment = {} } = {}) {
  const start = `exec ${process.execPath} ${join(HERE, "example/contract", script)}`;
  const { code, output } = await run(binary("assent-contract"), [...words, "--start", start], environment);
  assert.equal(code, 0, output);
  return output;
}

const SESSION = ["participant", "--session", "127.0.0.1:0"];
const UNARY = ["participant", "--unary", "127.0.0.1:0", "--protocols", "tcc,saga"];

test("sessions, SQLite", () => holds([...SESSION, "--protocols", "tcc,saga"]));
test("unary, SQLite", () => holds(UNARY));
test("initiators", () => holds(["initiator"], { script: "initiator.mjs" }));

test("sessions and unary, PostgreSQL", async (t) => {
  const server = await startPostgres(t);
  if (!server) return t.skip("no PostgreSQL is installed");
  const environment = { CONTRACT_POSTGRES: await server.say("new") };
  assert.match(await holds(SESSION, { environment }), / 0 do not apply/); // two-phase commit and questions among it
  await holds(UNARY, { environment });
});

test("sessions and unary, MariaDB", async (t) => {
  const server = await startMariaDB(t);
  if (!server) return t.skip("no MariaDB, or no PyMySQL, is installed");
  const environment = { CONTRACT_MARIADB: await server.say("new") };
  assert.match(await holds(SESSION, { environment }), / 0 do not apply/);
  await holds(UNARY, { environment });
});

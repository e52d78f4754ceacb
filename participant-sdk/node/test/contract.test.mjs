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

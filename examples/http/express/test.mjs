// The example under a real assentd, and the same server under assent-contract. Run by tools/test-languages.sh.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as assent from "assent-sdk";
import { binary, Daemon, folder, freePort, Process, run, until } from "../../../participant-sdk/node/test/rig.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const SECRET = "the secret of the hotel";

/** Its verdicts, by rule. */
async function verdicts(words, environment = {}) {
  const { code, output } = await run(binary("assent-contract"), [
    "participant", "--http", "http://127.0.0.1:0/assent", "--protocols", "tcc,saga", "--patience-ms", "20000",
    "--start", `exec ${process.execPath} ${join(HERE, "contract.mjs")}`, ...words], environment);
  assert.equal(code, 0, output);
  return output;
}

test("assent-contract", () => verdicts([]));

test("assent-contract, signed", (t) => {
  const file = join(folder(t), "secret");
  writeFileSync(file, "a secret of enough bytes\n");
  return verdicts(["--secret-file", file, "--rule", "completes", "--rule", "hostile", "--rule", "well-formed"]);
});

test("the example", async (t) => {
  const at = folder(t);
  const port = await freePort();
  const secret = join(at, "hotel.secret");
  writeFileSync(secret, `${SECRET}\n`, { mode: 0o600 });
  writeFileSync(join(at, "secrets"), `hotel: ${SECRET}\n`, { mode: 0o600 });
  const start = () => new Process(process.execPath, [join(HERE, "participant.mjs")], { PORT: String(port), ASSENT_SECRET_FILE: secret }, { cwd: at });
  let hotel = start();
  t.after(() => hotel.kill());
  const daemon = await Daemon.start(t, "--unary", `hotel=http://127.0.0.1:${port}/assent`, "--unary-secrets-file", join(at, "secrets"));
  const client = new assent.Client({ endpoints: daemon.endpoint });
  t.after(() => client.close());
  const book = (room) => client.submit(new assent.Transaction().tcc("hotel", "book", room));

  assert.ok((await book("12")).committed);
  const again = await book("12");
  assert.ok(!again.committed);
  assert.match(again.abortReason, /room 12 is taken/);
  await hotel.kill();
  const waits = book("13");
  hotel = start();
  assert.ok((await waits).committed);
  await until("both are booked", async () => !(await book("13")).committed);
});

// The README's program, in a project of its own, in a clean folder, as the README says.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { binary, Daemon, folder, HERE, Process, run, until } from "./rig.mjs";

test("a project from the README", async (t) => {
  const [, program] = /<!-- program -->\n```js\n(.*?)```/s.exec(readFileSync(join(HERE, "README.md"), "utf8"));
  const cwd = folder(t);
  writeFileSync(join(cwd, "package.json"), "{}");
  writeFileSync(join(cwd, "cinema.mjs"), program);
  const installed = await run("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", HERE], {}, { cwd });
  assert.equal(installed.code, 0, installed.output);
  const { endpoint } = await Daemon.start(t);
  const cinema = () => run(process.execPath, ["cinema.mjs"], { ASSENT_ENDPOINT: endpoint }, { cwd });
  assert.deepEqual(await cinema(), { code: 0, output: "sold\n" });
  assert.deepEqual(await cinema(), { code: 0, output: "not sold: branch 1 cinema/seat refused: seat A1 is taken\n" });
});

test("the payment service, driven from outside", async (t) => {
  const { endpoint } = await Daemon.start(t);
  const payment = new Process(process.execPath, [join(HERE, "example/payment.mjs")], { ASSENT_ENDPOINT: endpoint }, { cwd: folder(t) });
  t.after(() => payment.kill());
  await until("it is connected", () => payment.output.includes("connected session="));
  for (const [coins, outcome] of [[60, "COMMITTED"], [500, "not enough coins"], ["nothing", "has to be a number"]]) {
    const input = JSON.stringify({ branches: [{ protocol: "tcc", service: "payment", action: "charge", payload: coins }] });
    const { output } = await run(binary("assentctl"), ["--endpoint", endpoint, "submit"], {}, { input });
    assert.ok(output.includes(outcome), output);
  }
  assert.equal(await payment.kill("SIGTERM"), 0, "it ends in order");
});

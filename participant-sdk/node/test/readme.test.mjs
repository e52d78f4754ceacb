// The README's programs, in a project of their own, in a clean folder, with the package that the README has one make.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { binary, Daemon, folder, HERE, Process, run, until } from "./rig.mjs";

test("a project from the README", async (t) => {
  const cwd = folder(t);
  const readme = readFileSync(join(HERE, "README.md"), "utf8");
  const programs = [...readme.matchAll(/<!-- program: (\w+\.mjs) -->\n```js\n(.*?)```/gs)];
  assert.deepEqual(programs.map(([, name]) => name), ["cinema.mjs", "buy.mjs"]);
  for (const [, name, text] of programs) writeFileSync(join(cwd, name), text);
  // What npm would fetch, and compile, is taken from here.
  const packed = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", cwd], {}, { cwd: HERE });
  assert.equal(packed.code, 0, packed.output);
  assert.ok(readme.includes("npm install CLONE/participant-sdk/node/assent-sdk-0.1.0.tgz "));
  const modules = join(cwd, "node_modules");
  mkdirSync(join(modules, "assent-sdk"), { recursive: true });
  const unpacked = await run("tar", ["-xzf", "assent-sdk-0.1.0.tgz", "-C", join(modules, "assent-sdk"), "--strip-components=1"], {}, { cwd });
  assert.equal(unpacked.code, 0, unpacked.output);
  for (const name of ["@grpc", "protobufjs", "better-sqlite3"]) symlinkSync(join(HERE, "node_modules", name), join(modules, name));
  const { endpoint } = await Daemon.start(t);
  const environment = { ASSENT_ENDPOINT: endpoint };
  const cinema = new Process(process.execPath, ["cinema.mjs"], environment, { cwd });
  t.after(() => cinema.kill());
  const buy = () => run(process.execPath, ["buy.mjs"], environment, { cwd });
  assert.deepEqual(await buy(), { code: 0, output: "sold\n" });
  assert.deepEqual(await buy(), { code: 0, output: "not sold: branch 1 cinema/seat refused: seat A1 is taken\n" });
  assert.equal(await cinema.kill("SIGTERM"), 0, "it ends in order");
  assert.match(cinema.output, /^assent: connected session=.*\n$/);
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

// The programs of the README and of the guide, in a project of their own, in a clean folder, with the package that the README has one make.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { binary, Daemon, folder, HERE, Process, ROOT, run, until } from "./rig.mjs";

/** The package, into a project. What npm would fetch, and compile, is taken from here. */
async function install(cwd, others) {
  const packed = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", cwd], {}, { cwd: HERE });
  assert.equal(packed.code, 0, packed.output);
  const modules = join(cwd, "node_modules");
  mkdirSync(join(modules, "assent-sdk"), { recursive: true });
  const unpacked = await run("tar", ["-xzf", "assent-sdk-0.1.0.tgz", "-C", join(modules, "assent-sdk"), "--strip-components=1"], {}, { cwd });
  assert.equal(unpacked.code, 0, unpacked.output);
  for (const name of ["@grpc", "protobufjs", ...others]) symlinkSync(join(HERE, "node_modules", name), join(modules, name));
}

// npm runs no scripts of packages where it is told so, and then compiles nothing: the driver says a dozen paths, and so did we.
test("a driver without its binary", async (t) => {
  const cwd = folder(t);
  await install(cwd, ["bindings"]);
  const driver = join(cwd, "node_modules/better-sqlite3");
  mkdirSync(driver);
  for (const name of ["lib", "package.json"]) cpSync(join(HERE, "node_modules/better-sqlite3", name), join(driver, name), { recursive: true });
  writeFileSync(join(cwd, "start.mjs"), 'import { SQLite } from "assent-sdk";\nawait new SQLite("x.db").start().catch((error) => console.log(String(error)));\n');
  const { code, output } = await run(process.execPath, ["start.mjs"], {}, { cwd });
  assert.equal(code, 0, output);
  assert.match(output, /^\w*Error: better-sqlite3 is here without its binary for Node v[\d.]+: npm rebuild better-sqlite3 .*\n$/);
});

test("a project from the README", async (t) => {
  const cwd = folder(t);
  const readme = readFileSync(join(HERE, "README.md"), "utf8");
  const guide = readFileSync(join(ROOT, "docs/sdk-node.md"), "utf8");
  const programs = [...(readme + guide).matchAll(/<!-- program: (\w+\.mjs) -->\n```js\n(.*?)```/gs)];
  assert.deepEqual(programs.map(([, name]) => name), ["cinema.mjs", "buy.mjs", "hotel.mjs", "trip.mjs", "shop.mjs", "kiosk.mjs"]);
  for (const [, name, text] of programs) writeFileSync(join(cwd, name), text);
  assert.ok(readme.includes("npm install CLONE/participant-sdk/node/assent-sdk-0.1.0.tgz "));
  await install(cwd, ["better-sqlite3"]);
  const { endpoint } = await Daemon.start(t);
  const environment = { ASSENT_ENDPOINT: endpoint };
  const cinema = new Process(process.execPath, ["cinema.mjs"], environment, { cwd });
  t.after(() => cinema.kill());
  const buy = () => run(process.execPath, ["buy.mjs"], environment, { cwd });
  assert.deepEqual(await buy(), { code: 0, output: "sold\n" });
  assert.deepEqual(await buy(), { code: 0, output: "not sold: branch 1 cinema/seat refused: seat A1 is taken\n" });
  const hotel = new Process(process.execPath, ["hotel.mjs"], environment, { cwd });
  t.after(() => hotel.kill());
  const said = [...guide.matchAll(/^node trip\.mjs +# (.*)$/gm)].map(([, line]) => line);
  assert.equal(said.length, 2);
  for (const line of said) assert.deepEqual(await run(process.execPath, ["trip.mjs"], environment, { cwd }), { code: 0, output: `${line}\n` });
  assert.deepEqual(await run(process.execPath, ["shop.mjs"], environment, { cwd }), { code: 0, output: `${/^node shop\.mjs +# (.*)$/m.exec(guide)[1]}\n` });
  const kiosk = await run(process.execPath, ["kiosk.mjs"], environment, { cwd });
  assert.deepEqual([kiosk.code, kiosk.output.split("\n").filter((line) => !line.startsWith("assent: connected"))], [0, [/^node kiosk\.mjs +# (.*)$/m.exec(guide)[1], ""]]);
  for (const service of [cinema, hotel]) {
    assert.equal(await service.kill("SIGTERM"), 0, "it ends in order");
    assert.match(service.output, /^assent: connected session=.*\n$/);
  }
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

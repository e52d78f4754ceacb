// The README's program, in a project of its own, in a clean folder, as the README says.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Daemon, folder, HERE, run } from "./rig.mjs";

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

// The types that come with the package, as somebody else's TypeScript sees them.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { folder, HERE, run } from "./rig.mjs";

const PROGRAM = `
import { createPool } from "mysql2/promise";
import { Call, checkBack, Client, enlist, enlistSync, MySQL, Participant, Protocol, Refused, Report, Service, SQLite, Transaction, UnaryServer } from "assent-sdk";
import { checkContract } from "assent-sdk/testkit";

const db = new SQLite("x.db").tcc("seat", {
  try(tx, call) {
    const free: number | undefined = tx.get("SELECT free FROM seat WHERE name = ?", [call.text])?.free;
    if (!free) throw new Refused("taken");
    return call.payload;
  },
  confirm: (tx, call) => tx.run("UPDATE seat SET free = 0", [call.text]),
  cancel: () => undefined,
}).saga("placed", checkBack({ patienceMs: 5000 }));
const server = new MySQL(createPool({ database: "shop" }))
  .saga("placed", checkBack()).saga("ship", async (tx) => { await tx.run("SELECT 1"); return "shipped"; })
  .twoPhase("debit", { prepare: async (tx, call: Call) => { await tx.run("SELECT ?", [call.json().amount]); } });
const service = new Service("cinema", db, server).saga("plain", async (call) => call.text);
export async function main(): Promise<Report> {
  await new Participant(service, { endpoints: ["a:1"], workers: 2 }).run({ signal: AbortSignal.timeout(10) });
  await new UnaryServer(service, "127.0.0.1:0").start();
  const message = new Transaction().checkBack("orders", "placed", { firstAskedMs: 500 }).saga("cinema", "ship");
  await new Client().prepare(message, { timeoutMs: 5 });
  await new SQLite("x.db").transaction((tx) => enlistSync(tx, message));
  await enlist(await createPool({ database: "shop" }).getConnection(), message);
  const ok: boolean = (await checkContract(service, { protocol: Protocol.TCC, action: "seat" })).ok;
  return await new Client().submit(new Transaction({ labels: { ok: String(ok) } }).tcc("cinema", "seat", "A1", { headers: { a: "b" } }));
}
`;

async function compiles(t, program) {
  const place = folder(t);
  writeFileSync(join(place, "main.ts"), program);
  const paths = { "assent-sdk": [join(HERE, "dist/index.d.ts")], "assent-sdk/testkit": [join(HERE, "dist/testkit.d.ts")], "*": [join(HERE, "node_modules/*")] };
  const compilerOptions = { strict: true, noEmit: true, module: "esnext", moduleResolution: "bundler", target: "es2022", skipLibCheck: true, paths,
    typeRoots: [join(HERE, "node_modules/@types")], types: ["node"] };
  writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["main.ts"] }));
  return await run(process.execPath, [join(HERE, "node_modules/typescript/bin/tsc"), "-p", place]);
}

test("a program in TypeScript", async (t) => {
  assert.deepEqual(await compiles(t, PROGRAM), { code: 0, output: "" });
  for (const [right, wrong] of [["return call.payload;", "return 5;"], ["cancel: () => undefined,", ""], ['new Client()', 'new Client({ endpoint: "a:1" })']]) {
    assert.ok(PROGRAM.includes(right));
    assert.notEqual((await compiles(t, PROGRAM.replace(right, wrong))).code, 0, wrong);
  }
});

// What a service says of its connection: that it has one, why it has none, once for each change; and what a call says.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import * as assent from "assent-sdk";
import { whyFailed } from "../dist/why.js";
import { Authority } from "./authority.mjs";
import { binary, Daemon, folder, freePort, Process, until } from "./rig.mjs";
import { clientOf } from "./shop.mjs";

const NOT_SIGNED = "the certificate there is not signed by the CA that was given, or not valid now";
const ANOTHER_NAME = "the certificate there is not one for the name that was dialled";
const NO_GRPC = "no gRPC at that address; does it want TLS, or is it another port?";
const CLOSED = "the connection is closed as soon as it is made; does it want a certificate, and not the one, if any, that this side shows?";
const REFUSED = "connection refused; is assentd running there?";

const shop = () => new assent.Service("shop").saga("ship", () => "shipped");

test("what gRPC says is put in a person's words, and what a coordinator says is left", () => {
  const last = (words) => `No connection established. Last error: ${words}. Resolution note: `;
  for (const [details, secure, said] of [
    [last("Error: connect ECONNREFUSED 127.0.0.1:1"), false, REFUSED],
    [last("Error: connect EHOSTUNREACH 10.0.0.1:1"), false, "connect EHOSTUNREACH 10.0.0.1:1; is assentd running there?"],
    [last("Error: 80:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl3_record.c:350:\n"), true, "there is no TLS at that address"],
    [last("Error: unable to verify the first certificate"), true, NOT_SIGNED],
    [last("Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host: a"), true, ANOTHER_NAME],
    [last("Failed to connect (2026-01-01T00:00:00.000Z)"), false, NO_GRPC],
    [last("Failed to connect (2026-01-01T00:00:00.000Z)"), true, CLOSED],
    [last("Protocol error (2026-01-01T00:00:00.000Z)"), false, NO_GRPC],
    ["Name resolution failed for target dns:nowhere.example:1", false, "there is no host of that name"],
    ["the coordinator is stopping: ECONNREFUSED", false, "the coordinator is stopping: ECONNREFUSED"],
    ["two\nlines", false, "two?lines"],
  ]) assert.equal(whyFailed("UNAVAILABLE", details, secure), `UNAVAILABLE: ${said}`);
});

test("what is printed has names", () => {
  const report = new assent.Report("g", assent.State.COMMITTING, assent.Outcome.COMMITTED, "", new Map());
  assert.match(inspect(report), /state: 'COMMITTING',\s+outcome: 'COMMITTED'/);
});

/** However often it is dialled there is one line; and a call says the same. */
async function reasons(t, options, code, words) {
  const lines = [];
  const participant = await new assent.Participant(shop(), { ...options, log: (line) => lines.push(line), initialBackoffMs: 1, maxBackoffMs: 1 }).start();
  t.after(() => participant.stop());
  await until("it is told", () => lines.length > 0);
  await assert.rejects(participant.waitConnected(300), (error) => error.message.includes(words));
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.ok(lines[0].startsWith(`not connected endpoint=${options.endpoints} reason="${code}: ${words}`), lines[0]);
  await participant.stop();
  const client = clientOf(t, { ...options, retry: { giveUpAfterMs: 1000 } }); // a handshake on a busy machine
  await assert.rejects(client.get("g"), (error) => error.message.includes(words), words);
}

test("nobody listens", async (t) => reasons(t, { endpoints: `127.0.0.1:${await freePort()}` }, "UNAVAILABLE", REFUSED));

test("TLS", async (t) => {
  const ca = new Authority(t);
  const other = new Authority(t, "other-ca");
  const [own, mine] = [ca.make("coordinator"), ca.make("shop")];
  const { endpoint: endpoints } = await Daemon.start(t, "--tls-cert", own.cert, "--tls-key", own.key, "--tls-client-ca", ca.ca);
  const tls = { caFile: ca.ca, certFile: mine.cert, keyFile: mine.key };
  await reasons(t, { endpoints, tls: { ...tls, caFile: other.ca } }, "UNAVAILABLE", NOT_SIGNED);
  await reasons(t, { endpoints, tls: { ...tls, serverName: "elsewhere.example" } }, "UNAVAILABLE", ANOTHER_NAME);
  await reasons(t, { endpoints, tls: { caFile: ca.ca } }, "UNAVAILABLE", CLOSED);
  await reasons(t, { endpoints }, "UNAVAILABLE", NO_GRPC);
  const plain = await Daemon.start(t);
  await reasons(t, { endpoints: plain.endpoint, tls }, "UNAVAILABLE", "there is no TLS at that address");
});

test("tokens and roles", async (t) => {
  const place = folder(t);
  const [rules, tokens] = [join(place, "rules"), join(place, "tokens")];
  writeFileSync(rules, "allow token:shop as participant for other\n", { mode: 0o600 });
  writeFileSync(tokens, "", { mode: 0o600 });
  const secret = execFileSync(binary("assentctl"), ["auth", "token", "shop", "--append", tokens], { encoding: "utf8" }).trim().split(/\s+/).at(-1);
  const { endpoint: endpoints } = await Daemon.start(t, "--auth-rules", rules, "--auth-tokens", tokens,
    "--max-auth-failures-per-address", "0"); // it dials as often as it likes
  await reasons(t, { endpoints }, "UNAUTHENTICATED", "");
  await reasons(t, { endpoints, token: { secret: "nobodys" } }, "UNAUTHENTICATED", "");
  const lines = [];
  const participant = await new assent.Participant(shop(), { endpoints, token: { secret }, log: (line) => lines.push(line) }).start();
  t.after(() => participant.stop());
  await until("it is told", () => lines.length > 0);
  assert.match(lines[0], /^not connected endpoint=\S+ reason="PERMISSION_DENIED: /);
  assert.ok(!lines[0].includes(secret));
});

const PROGRAM = `
import { Participant, Service } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
await new Participant(new Service("shop").saga("ship", () => ""), process.argv[2] ? { log: () => {} } : {}).run();
`;

test("it is told by default, and again when it changes", async (t) => {
  const daemon = await Daemon.start(t);
  const cwd = folder(t);
  writeFileSync(join(cwd, "shop.mjs"), PROGRAM);
  const start = (...words) => new Process(process.execPath, ["shop.mjs", ...words], { ASSENT_ENDPOINT: daemon.endpoint }, { cwd });
  const [loud, silent] = [start(), start("silent")];
  t.after(() => Promise.all([loud.kill(), silent.kill()]));
  const said = (what, count) => () => loud.output.split(what).length - 1 === count;
  await until("it is connected", said("assent: connected session=", 1));
  await daemon.kill();
  await until("nobody listens", said(REFUSED, 1));
  await daemon.again();
  await until("it is connected again", said("assent: connected session=", 2));
  const lines = loud.output.trim().split("\n").map((line) => line.replace(/(connected) .*/, "$1"));
  assert.deepEqual(lines, ["connected", "disconnected", "not connected", "connected"].map((word) => `assent: ${word}`), loud.output);
  assert.deepEqual([await loud.kill("SIGTERM"), await silent.kill("SIGTERM")], [0, 0]);
  assert.equal(silent.output, "");
});

// TLS and tokens, by options and by environment, on both transports, with files that are renewed; trace context and headers.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as assent from "assent-sdk";
import { Dialling } from "../dist/dial.js";
import { Authority } from "./authority.mjs";
import { binary, Daemon, folder, until } from "./rig.mjs";
import { clientOf } from "./shop.mjs";

/** As whoever renews files should: the new one takes the old one's place. */
function replace(path, text) {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Of this process, for the test. */
function environment(t, names) {
  const before = Object.keys(names).map((name) => [name, process.env[name]]);
  Object.assign(process.env, names);
  t.after(() => before.forEach(([name, value]) => (value === undefined ? delete process.env[name] : (process.env[name] = value))));
}

const shop = () => new assent.Service("shop").saga("ship", () => "shipped");
const order = () => new assent.Transaction({ deadlineMs: 20_000 }).saga("shop", "ship");

async function participantOf(t, options, service = shop()) {
  const participant = await new assent.Participant(service, options).start();
  t.after(() => participant.stop());
  return participant;
}

async function secured(t) {
  const ca = new Authority(t);
  const own = ca.make("coordinator");
  const daemon = await Daemon.start(t, "--tls-cert", own.cert, "--tls-key", own.key, "--tls-client-ca", ca.ca);
  const mine = ca.make("shop");
  return { ca, own, mine, endpoints: daemon.endpoint, tls: { caFile: ca.ca, certFile: mine.cert, keyFile: mine.key } };
}

test("sessions and calls, by options and by environment, with a name of its own", async (t) => {
  const { ca, mine, endpoints, tls } = await secured(t);
  await (await participantOf(t, { endpoints, tls })).waitConnected();
  assert.ok((await clientOf(t, { endpoints, tls }).submit(order())).committed);
  assert.ok((await clientOf(t, { endpoints, tls: { ...tls, serverName: "coordinator.example" } }).submit(order())).committed);
  environment(t, { ASSENT_ENDPOINT: endpoints, ASSENT_TLS_CA: ca.ca, ASSENT_TLS_CERT: mine.cert, ASSENT_TLS_KEY: mine.key });
  await (await participantOf(t)).waitConnected();
  assert.ok((await clientOf(t).submit(order())).committed);
});

test("whoever is not believed is not reached", async (t) => {
  const { ca, endpoints, tls } = await secured(t);
  const other = new Authority(t, "other-ca");
  const wrong = [{ ...tls, caFile: other.ca }, { ...tls, serverName: "elsewhere.example" }, { caFile: ca.ca }, undefined];
  const tried = wrong.map(() => order());
  for (const [at, one] of wrong.entries()) {
    const client = clientOf(t, { endpoints, tls: one, retry: { giveUpAfterMs: 300 } });
    await assert.rejects(client.submit(tried[at]), (error) => error instanceof assent.Unavailable || error instanceof assent.UnknownOutcome, JSON.stringify(one));
  }
  const right = clientOf(t, { endpoints, tls });
  for (const one of tried) await assert.rejects(right.get(one.gid), assent.NotFound);
});

test("files that change count for connections from then on", async (t) => {
  const { ca, endpoints, tls } = await secured(t);
  const mine = ca.make("mine");
  const stranger = new Authority(t, "other-ca").make("stranger");
  const good = [readFileSync(mine.key), readFileSync(mine.cert)];
  replace(mine.key, readFileSync(stranger.key));
  replace(mine.cert, readFileSync(stranger.cert));
  const own = { ...tls, certFile: mine.cert, keyFile: mine.key };
  const participant = await participantOf(t, { endpoints, tls: own, maxBackoffMs: 100 });
  const client = clientOf(t, { endpoints, tls: own, retry: { giveUpAfterMs: 300 } });
  await assert.rejects(client.submit(order()), assent.AssentError);
  assert.equal(participant.connected, 0);
  replace(mine.key, good[0]);
  replace(mine.cert, good[1]);
  await until("it is connected", () => participant.connected);
  assert.ok((await client.submit(order())).committed);
});

test("a server that is dialled has a certificate too, and asks for one", async (t) => {
  const { ca, own, tls } = await secured(t);
  const pair = ca.make("payment");
  const server = new assent.UnaryServer(shop(), "127.0.0.1:0", { tls: { certFile: pair.cert, keyFile: pair.key, clientCaFile: ca.ca } });
  await server.start();
  t.after(() => server.stop());
  const { endpoint } = await Daemon.start(t, "--unary", `shop=tls:127.0.0.1:${server.port}`, "--tls-participant-ca", ca.ca, "--tls-cert", own.cert,
    "--tls-key", own.key, "--tls-client-ca", ca.ca);
  assert.ok((await clientOf(t, { endpoints: endpoint, tls }).submit(order())).committed);
  const plain = await Daemon.start(t, "--unary", `shop=127.0.0.1:${server.port}`);
  const shut = clientOf(t, { endpoints: plain.endpoint, wait: assent.WaitFor.DECIDED });
  assert.ok((await shut.submit(new assent.Transaction({ deadlineMs: 500 }).saga("shop", "ship"))).aborted, "without TLS nobody is heard");
  await assert.rejects(new assent.UnaryServer(shop(), "127.0.0.1:0", { tls: { certFile: "/nowhere", keyFile: pair.key } }).start(), /\/nowhere, cannot be read/);
});

test("a token by option, by file and by environment", async (t) => {
  const place = folder(t);
  const [rules, tokens, mine] = ["rules", "tokens", "mine"].map((name) => join(place, name));
  replace(rules, "allow token:shop as participant for shop\nallow token:web as initiator for *\n");
  replace(tokens, "");
  const make = (name) => execFileSync(binary("assentctl"), ["auth", "token", name, "--append", tokens], { encoding: "utf8" }).trim().split(/\s+/).at(-1);
  const secrets = { shop: make("shop"), web: make("web") };
  const { endpoint: endpoints } = await Daemon.start(t, "--auth-rules", rules, "--auth-tokens", tokens);
  await (await participantOf(t, { endpoints, token: { secret: secrets.shop } })).waitConnected();
  replace(mine, secrets.shop); // not yet the right one: a participant begins no transactions
  const client = clientOf(t, { endpoints, token: { file: mine } });
  await assert.rejects(client.submit(order()), (error) => error instanceof assent.UnknownOutcome && /PERMISSION_DENIED/.test(error.message));
  replace(mine, `${secrets.web}\n`); // renewed
  assert.ok((await client.submit(order())).committed);
  renameSync(mine, `${mine}.away`);
  assert.ok((await client.submit(order())).committed, "while it cannot be read the last one counts");
  renameSync(`${mine}.away`, mine);
  await assert.rejects(clientOf(t, { endpoints }).get("g"), (error) => error instanceof assent.NotAllowed && /UNAUTHENTICATED/.test(error.message));
  environment(t, { ASSENT_TOKEN: secrets.web });
  assert.ok((await clientOf(t, { endpoints }).submit(order())).committed);
  delete process.env.ASSENT_TOKEN;
  environment(t, { ASSENT_TOKEN_FILE: mine });
  assert.ok((await clientOf(t, { endpoints }).submit(order())).committed);
});

test("a token is not sent over a network without TLS, and that is said before anything is dialled", async () => {
  const options = { endpoints: "192.0.2.1:7400", token: { secret: "word" } };
  const said = (error) => error instanceof assent.ConfigError && /without TLS/.test(error.message) && !error.message.includes("word");
  assert.throws(() => new assent.Client(options), said);
  await assert.rejects(new assent.Participant(shop(), options).start(), said);
  assert.ok(!new Dialling({ token: { secret: "word" } }).metadata("unix:/tmp/x").toJSON().authorization[0].includes("undefined"));
});

test("trace context and headers are handed on, and to what a handler begins", async (t) => {
  const { endpoint: endpoints } = await Daemon.start(t);
  const client = clientOf(t, { endpoints });
  const seen = [];
  const service = new assent.Service("shop")
    .saga("ship", async (call) => {
      seen.push(call);
      return (await client.submit(new assent.Transaction({ trace: call.trace }).saga("shop", "pack"))).gid;
    })
    .saga("pack", (call) => void seen.push(call));
  await (await participantOf(t, { endpoints }, service)).waitConnected();
  const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=b" };
  await client.submit(new assent.Transaction({ trace }).saga("shop", "ship", "p", { headers: { who: "ann", __proto__x: "1" } }));
  assert.equal(seen.length, 2);
  for (const call of seen) {
    assert.equal(call.trace.traceparent.split("-")[1], "0af7651916cd43dd8448eb211c80319c");
    assert.equal(call.trace.tracestate, "a=b");
  }
  assert.deepEqual([seen[0].text, Object.fromEntries(seen[0].headers)], ["p", { who: "ann", __proto__x: "1" }]);
});

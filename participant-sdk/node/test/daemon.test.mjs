// Against a real assentd: orders, rollbacks, open transactions, deaths of the coordinator, services that stop and come back.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import * as assent from "assent-sdk";
import { Daemon, folder, freePort, startPostgres, until } from "./rig.mjs";
import { clientOf, Ledger, openShop, order } from "./shop.mjs";

const COMPLETED = assent.WaitFor.COMPLETED;

test("an order, and a rollback", async (t) => {
  const { endpoint } = await Daemon.start(t);
  const { stock, money } = await openShop(t, endpoint);
  const client = clientOf(t, { endpoints: endpoint, wait: COMPLETED });
  const report = await client.submit(order());
  assert.ok(report.committed && Buffer.from(report.results.get("1")).toString() === "999", JSON.stringify(report));
  const dear = order(500);
  const no = await client.submit(dear);
  assert.deepEqual([no.aborted, no.abortReason], [true, "branch 2 money/take refused: not enough"]);
  assert.deepEqual(await client.submit(dear), no, "the same again");
  assert.deepEqual(await client.wait(dear.gid), no);
  const shown = await client.get(dear.gid);
  assert.deepEqual([shown.outcome, shown.branches.length, shown.branches[0].service], [assent.Outcome.ABORTED, 2, "stock"]);
  assert.ok(shown.finished > shown.began);
  await assert.rejects(client.get("nobody"), assent.NotFound);
  await stock.want(999);
  await money.want(99);
});

test("branches are added one by one", async (t) => {
  const { endpoint } = await Daemon.start(t);
  const { stock, money } = await openShop(t, endpoint);
  const client = clientOf(t, { endpoints: endpoint, wait: COMPLETED });
  const report = await client.interactive(async (open) => {
    const first = await open.tcc("stock", "take", "7");
    assert.deepEqual([first.refused, Buffer.from(first.result).toString()], [false, "993"]);
  });
  assert.ok(report.committed);
  await stock.want(993);
  let gid;
  await assert.rejects(client.interactive(async (open) => {
    gid = open.gid;
    await open.tcc("stock", "take", "7");
    throw new Error("changed my mind");
  }), /changed my mind/);
  assert.match((await client.wait(gid)).abortReason, /changed my mind/);
  const no = await client.interactive(async (open) => {
    await open.tcc("stock", "take", "7");
    const money = await open.tcc("money", "take", "500");
    assert.deepEqual([money.refused, money.reason], [true, "not enough"]);
  });
  assert.ok(no.aborted);
  await stock.want(993);
  await money.want(100);
});

// Kill -9 of the coordinator, again and again, under load: every gid has one outcome, and the books have the same.
test("the books balance through the coordinator's deaths", async (t) => {
  const daemon = await Daemon.start(t);
  const { stock, money } = await openShop(t, daemon.endpoint);
  const client = clientOf(t, { endpoints: daemon.endpoint, retry: { giveUpAfterMs: 30_000 }, timeoutMs: 60_000 });
  let answered = 0;
  const orders = Array.from({ length: 200 }, async () => { // of 100 coins: half of them are refused
    const report = await client.submit(order());
    answered += 1;
    assert.ok(report.committed || report.aborted);
    return report.committed ? 1 : 0;
  });
  for (let kill = 1; kill <= 3; kill += 1) {
    await until("some are answered", () => answered >= kill * 25);
    await daemon.kill();
    await daemon.again();
  }
  const committed = (await Promise.all(orders)).reduce((sum, one) => sum + one, 0);
  assert.ok(committed > 0 && committed <= 100, String(committed));
  await stock.want(1000 - committed);
  await money.want(100 - committed);
});

test("a service stops in order, and comes back", async (t) => {
  const { endpoint } = await Daemon.start(t);
  const { stock, money } = await openShop(t, endpoint);
  const client = clientOf(t, { endpoints: endpoint, wait: COMPLETED });
  const orders = Array.from({ length: 50 }, () => client.submit(order()));
  await money.participant.stop();
  assert.equal(money.participant.connected, 0);
  assert.equal(money.participant.counters.droppedReplies, 0, "what it had it has answered");
  await money.join(endpoint);
  for (const report of await Promise.all(orders)) assert.ok(report.committed, report.abortReason);
  await stock.want(950);
  await money.want(50);
});

test("a service that is there before its coordinator is connected when that comes", async (t) => {
  const daemon = await Daemon.start(t);
  await daemon.kill();
  const stock = new Ledger(t, "stock", 10, { maxBackoffMs: 100 });
  stock.participant = await new assent.Participant(stock.service, { endpoints: daemon.endpoint, maxBackoffMs: 100 }).start();
  await assert.rejects(stock.participant.waitConnected(50), (error) => error instanceof assent.DeadlineExceeded && /UNAVAILABLE|not tried/.test(error.message));
  await daemon.again();
  await stock.participant.waitConnected(20_000);
  const { endpoint } = daemon;
  await assert.rejects(stock.participant.start(), assent.FailedPrecondition);
  assert.ok((await clientOf(t, { endpoints: endpoint }).submit(new assent.Transaction().tcc("stock", "take", "1"))).committed);
});

test("plain handlers, at most so many at once, and a signal that ends it", async (t) => {
  const { endpoint } = await Daemon.start(t);
  let running = 0, most = 0;
  const service = new assent.Service("plain").saga("work", async (call) => {
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    running -= 1;
    return call.payload;
  });
  const end = new AbortController();
  const participant = new assent.Participant(service, { endpoints: endpoint, workers: 3 });
  const ended = participant.run({ signal: end.signal });
  await until("it is connected", () => participant.connected === 1);
  const client = clientOf(t, { endpoints: endpoint });
  const reports = await Promise.all(Array.from({ length: 12 }, (_, at) => client.submit(new assent.Transaction().saga("plain", "work", `${at}`))));
  assert.deepEqual(reports.map((report) => Buffer.from(report.results.get("1")).toString()), Array.from({ length: 12 }, (_, at) => `${at}`));
  assert.equal(most, 3);
  end.abort();
  await ended;
});

test("nobody there: nothing was begun; given up: the signal's reason", async (t) => {
  const endpoints = `127.0.0.1:${await freePort()}`;
  const client = clientOf(t, { endpoints, retry: { giveUpAfterMs: 100 } });
  await assert.rejects(client.submit(order()), (error) => error instanceof assent.Unavailable && /is assentd running there\?/.test(error.message));
  const patient = clientOf(t, { endpoints, retry: { giveUpAfterMs: 60_000 } });
  await assert.rejects(patient.submit(order(), { signal: AbortSignal.timeout(100) }), (error) => error.name === "TimeoutError");
});

test("a call that is given up while it waits may have been done", async (t) => {
  const { endpoint } = await Daemon.start(t);
  const client = clientOf(t, { endpoints: endpoint });
  const nobody = new assent.Transaction({ deadlineMs: 500 }).saga("nobody", "comes");
  const unknown = await client.submit(nobody, { signal: AbortSignal.timeout(200) }).catch((error) => error);
  assert.ok(unknown instanceof assent.UnknownOutcome && unknown.gid === nobody.gid && unknown.cause.name === "TimeoutError", String(unknown));
  assert.ok((await client.submit(nobody)).aborted, "the same object again has the answer");
});

test("a coordinator dials a server", async (t) => {
  const stock = new Ledger(t, "stock", 10);
  const server = await new assent.UnaryServer(stock.service, "127.0.0.1:0").start();
  t.after(() => server.stop());
  const { endpoint } = await Daemon.start(t, "--unary", `stock=127.0.0.1:${server.port}`);
  const client = clientOf(t, { endpoints: endpoint, wait: COMPLETED });
  assert.ok((await client.submit(new assent.Transaction().tcc("stock", "take", "3"))).committed);
  assert.match((await client.submit(new assent.Transaction().tcc("stock", "take", "30"))).abortReason, /not enough/);
  assert.match((await client.submit(new assent.Transaction().tcc("stock", "other"))).abortReason, /no TRY of action other here/);
  await stock.want(7);
  await assert.rejects(new assent.UnaryServer(new assent.Service("x").saga("a", () => {}), `127.0.0.1:${server.port}`).start(), assent.ConfigError);
});

/** Hands bytes on to `endpoint`, until it is told to be silent: then connections stand, and nothing comes. */
async function proxyTo(t, endpoint) {
  const [host, port] = endpoint.split(":");
  const proxy = { silent: false };
  const sockets = [];
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    sockets.push(near, far);
    for (const [from, to] of [[near, far], [far, near]]) from.on("data", (data) => proxy.silent || to.write(data)).on("error", () => to.destroy());
    proxy.count = (proxy.count ?? 0) + 1;
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  proxy.endpoint = `127.0.0.1:${server.address().port}`;
  return proxy;
}

test("a connection that goes silent is found dead, and made anew", async (t) => {
  // Who probes more often than three times in this is sent away by the daemon, which looks like a connection that was found dead.
  const { endpoint } = await Daemon.start(t, "--keepalive-seconds", "3");
  const proxy = await proxyTo(t, endpoint);
  const said = [];
  const stock = new Ledger(t, "stock", 10, { keepaliveMs: 1200, maxBackoffMs: 100, log: (line) => said.push(line) });
  await stock.join(proxy.endpoint);
  const client = clientOf(t, { endpoints: proxy.endpoint, keepaliveMs: 1200, wait: COMPLETED });
  const take = () => client.submit(new assent.Transaction().tcc("stock", "take", "1"));
  assert.ok((await take()).committed);
  proxy.silent = true;
  const waiting = take();
  await until("the participant has noticed", () => stock.participant.connected === 0);
  proxy.silent = false;
  assert.ok((await waiting).committed);
  await stock.want(8);
  const gone = said.filter((line) => line.startsWith("disconnected"));
  assert.ok(gone.length > 0 && !gone.some((line) => line.includes("RESOURCE_EXHAUSTED")), said.join("\n"));
});

test("several coordinators: each is dialled, and one that dies is not missed", async (t) => {
  const server = await startPostgres(t);
  if (!server) return t.skip("no PostgreSQL is installed");
  const log = await server.say("new");
  const a = await Daemon.start(t, "--log", log, "--node", "a");
  const b = await Daemon.start(t, "--log", log, "--node", "b");
  const stock = new Ledger(t, "stock", 1000);
  await stock.join(a.endpoint);
  await until("it has learned of the other one", () => stock.participant.connected === 2);
  const client = clientOf(t, { endpoints: a.endpoint, wait: COMPLETED, retry: { giveUpAfterMs: 60_000 } });
  const take = () => client.submit(new assent.Transaction({ deadlineMs: 60_000 }).tcc("stock", "take", "1"));
  for (const report of await Promise.all(Array.from({ length: 20 }, take))) assert.ok(report.committed, report.abortReason);
  const waiting = Array.from({ length: 20 }, take);
  await a.kill();
  for (const report of await Promise.all(waiting)) assert.ok(report.committed, report.abortReason);
  await stock.want(960);
  await until("it is not counted any more", () => stock.participant.connected === 1);
});

test("a start that failed may be tried again, and a stop before or during a start is one", async (t) => {
  const { endpoint } = await Daemon.start(t);
  const place = join(folder(t), "later");
  const service = new assent.Service("late", new assent.SQLite(join(place, "books.db")).saga("work", () => "done"));
  for (const what of [new assent.Participant(service, { endpoints: endpoint }), new assent.UnaryServer(service, "127.0.0.1:0")]) {
    await what.stop();
    await assert.rejects(what.start(), assent.ConfigError);
  }
  mkdirSync(place);
  const participant = new assent.Participant(service, { endpoints: endpoint });
  await assert.rejects(new assent.Participant(service, { endpoints: "a" }).start(), assent.ConfigError);
  await participant.stop();
  await participant.start();
  await participant.waitConnected();
  assert.ok((await clientOf(t, { endpoints: endpoint }).submit(new assent.Transaction().saga("late", "work"))).committed);
  await participant.stop();
  const hasty = new assent.Participant(service, { endpoints: endpoint });
  const starting = hasty.start();
  await hasty.stop();
  await starting;
  assert.equal(hasty.connected, 0); // and nothing of it keeps this process from ending
});

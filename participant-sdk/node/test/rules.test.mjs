// Values, tables and plans: what needs neither a coordinator nor a database.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as assent from "assent-sdk";
import { Kept, MOVES, NO_ROW, openCall, REFUSALS, stateAfter, upkeepFor } from "../dist/barrier.js";
import { Call, done, refused, replyOf, replyTo, retryLater } from "../dist/call.js";
import { Desk } from "../dist/desk.js";
import { Dialling, endpointsOf, isNear } from "../dist/dial.js";
import { lockOfBranch } from "../dist/mysql.js";
import { keyOfBranch } from "../dist/postgresql.js";
import { carryOut, Routes, slotOf } from "../dist/plan.js";
import { Roster } from "../dist/roster.js";
import { runPlain } from "../dist/service.js";
import { Session } from "../dist/session.js";
import { longOf, METHODS, numberOf, unsignedOf } from "../dist/wire.js";
import { cut, oneLine, protocolOf } from "../dist/words.js";
import { folder, HERE, ROOT } from "./rig.mjs";

const { Kind, Operation, Protocol, Verdict } = assent;
const page = readFileSync(join(ROOT, "participant-sdk/cpp/barrier/DESIGN.md"), "utf8");
/** The rows of the table whose head begins so. */
function table(head) {
  const lines = page.split("\n");
  const first = lines.findIndex((line) => line.startsWith(`| ${head} |`)) + 2;
  const rows = lines.slice(first, lines.findIndex((line, at) => at >= first && !line.startsWith("|")));
  assert.ok(rows.length > 5, head);
  return rows.map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("*", "")));
}
const kept = (name) => (name === "no row" ? Kept.NONE : Kept[name]);
const call = (operation, more = {}) =>
  new Call({ gid: "g", branchId: "1", operation, protocol: protocolOf(operation), action: "a", ...more });

test("the moves are those of the page", () => {
  for (const [state, forward, finish, undo] of table("asked in state")) assert.deepEqual(MOVES[kept(state)], { forward, finish, undo }, state);
});

test("the reasons are those of the page, and no others", () => {
  const rows = table("asked");
  for (const [operation, state, reason] of rows) {
    const row = { ...NO_ROW, state: kept(state), protocol: protocolOf(Operation[operation]), action: "a" };
    assert.deepEqual(openCall(call(Operation[operation]), row), { move: "refuse", reply: refused(reason) });
  }
  assert.equal(Object.values(REFUSALS).flatMap(Object.values).length, rows.length);
});

test("what is kept is what the page says", () => {
  for (const [ran, ...states] of table("ran")) {
    const one = call(Operation[ran.split(",")[0].split(" ")[0]], { onePhase: ran.includes("one phase") });
    const replies = [done(), refused("no"), retryLater("later")];
    states.forEach((state, at) => assert.equal(stateAfter(one, replies[at], !ran.includes("nothing written")), state === "nothing" ? Kept.NONE : Kept[state], ran));
  }
});

test("the upkeep is what the page says", () => {
  for (const [row, ...wanted] of table("row")) {
    const protocol = row === "DONE of a step" ? Protocol.SAGA : Protocol.TCC;
    const columns = [[Verdict.COMMIT, false], [Verdict.ABORT, false], [Verdict.COMMIT, true], [Verdict.ABORT, true]];
    columns.forEach(([verdict, finished], at) => assert.equal(upkeepFor(Kept[row.split(" ")[0]], protocol, verdict, finished), wanted[at], row));
    for (const verdict of [Verdict.UNDECIDED, Verdict.CANNOT_TELL]) assert.equal(upkeepFor(Kept[row.split(" ")[0]], protocol, verdict, true), "keep");
  }
});

test("what is no operation of its branch is refused, and a branch stays what it was", () => {
  assert.equal(openCall(call(Operation.TRY, { protocol: Protocol.SAGA }), NO_ROW).reply.reason, "not an operation of a saga branch");
  assert.equal(openCall(call(Operation.TRY, { gid: "" }), NO_ROW).move, "refuse");
  assert.equal(openCall(call(Operation.TRY, { branchId: "b".repeat(65) }), NO_ROW).move, "refuse");
  const other = { ...NO_ROW, state: Kept.DONE, protocol: Protocol.TCC, action: "b" };
  assert.match(openCall(call(Operation.CONFIRM), other).reply.reason, /^HAZARD: this branch was seen as tcc b, not tcc a/);
});

test("texts are cut at whole characters, and are always UTF-8", () => {
  assert.equal(cut("aé".repeat(2), 3), "aé");
  assert.equal(cut("aé".repeat(2), 5), "aéa");
  assert.equal(cut("\ud800x\0"), "\ufffdx?");
  assert.equal(oneLine("a\nb\u2028c"), "a?b?c");
});

test("a handler's answer", () => {
  assert.equal(replyOf("é", call(Operation.TRY)).result.length, 2);
  assert.match(replyOf({ changes: 1 }, call(Operation.TRY)).reason, /returned a object; it returns nothing, a string/);
  assert.equal(replyOf({ changes: 1 }, call(Operation.CONFIRM)).kind, Kind.DONE);
  assert.equal(replyOf(assent.readOnly(), call(Operation.TRY)).kind, Kind.RETRY_LATER);
  assert.equal(replyOf(new Uint8Array(256 * 1024), call(Operation.TRY)).kind, Kind.DONE);
  assert.equal(replyOf(new Uint8Array(256 * 1024 + 1), call(Operation.TRY)).kind, Kind.REFUSED);
  assert.deepEqual(replyTo(new assent.Refused("no")), refused("no"));
  assert.deepEqual(replyTo(new assent.RetryLater("busy", 7)), retryLater("busy", 7));
  assert.deepEqual(replyTo(new TypeError("oh")), retryLater("TypeError: oh"));
  assert.equal(replyTo(new assent.Unknown("?")), undefined);
});

test("a plain handler of one phase prepares and commits", async () => {
  const ran = [];
  const service = new assent.Service("s").twoPhase("a", {
    prepare: () => (ran.push("prepare"), "kept"), commit: async () => ran.push("commit"), rollback: () => ran.push("rollback") });
  const reply = await runPlain(service.table.get("2pc:a"), call(Operation.PREPARE, { onePhase: true }));
  assert.deepEqual([ran, Buffer.from(reply.result).toString()], [["prepare", "commit"], "kept"]);
});

test("64 bits go and come as they are", () => {
  for (const value of [0n, 1n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    const data = METHODS.Execute.requestSerialize({ gid: "g", beganEpoch: longOf(value), beganUnixMs: 1764323456789 });
    const read = METHODS.Execute.requestDeserialize(data);
    assert.equal(unsignedOf(read.beganEpoch), value);
    assert.equal(numberOf(read.beganUnixMs), 1764323456789);
  }
  assert.throws(() => METHODS.Execute.requestDeserialize(Buffer.from([0x0a, 1, 0xff])), /not UTF-8/);
});

test("a transaction that can never work is named", () => {
  const wrong = [
    [new assent.Transaction(), /at least one/],
    [new assent.Transaction({ gid: "a b" }).saga("s", "a"), /^gid is "a b"/],
    [new assent.Transaction().saga("s", "a").saga("s", "a", "", { id: "1" }), /branches\[1\]\.id "1" is taken/],
    [new assent.Transaction().saga("s", "a", "", { after: ["9"] }), /names "9", which is no other branch/],
    [new assent.Transaction().tcc("s", "a", "", { pivot: true }), /only a Saga step can be the pivot/],
    [new assent.Transaction({ deadlineMs: -1 }).saga("s", "a"), /deadlineMs is -1/],
    [new assent.Transaction().saga("s", "a", new Uint8Array(1024 * 1024 + 1)), /at most 1048576/],
  ];
  for (const [transaction, sentence] of wrong) assert.throws(() => transaction.check(), (error) => error instanceof assent.InvalidArgument && sentence.test(error.message));
  assert.throws(() => new assent.Transaction().saga("s", "a", { amount: 1 }), /JSON\.stringify/);
});

test("a service that cannot work says what is missing", () => {
  const wrong = [
    [() => new assent.Service("a b"), /service is "a b"/],
    [() => new assent.Service("s").tcc("a", { try: () => {}, confirm: () => {} }), /tcc:a has no handler of cancel/],
    [() => new assent.Service("s").saga("a", () => {}).saga("a", () => {}), /registered twice/],
    [() => new assent.Service("s").saga("a", () => {}).attach(new assent.SQLite("x").saga("a", () => {})).owners(), /registered twice/],
    [() => new assent.Service("s").owners(), /has no action/],
    [() => Array.from({ length: 1025 }, (_, at) => at).reduce((service, at) => service.saga(`a${at}`, () => {}), new assent.Service("s")).owners(), /has 1025 actions; at most 1024/],
  ];
  for (const [make, sentence] of wrong) assert.throws(make, (error) => error instanceof assent.ConfigError && sentence.test(error.message));
});

test("endpoints and tokens that cannot be used", async (t) => {
  assert.deepEqual(endpointsOf("a:1, b:2,a:1"), ["a:1", "b:2"]);
  for (const wrong of ["http://a:1", "a", "a:0", "a:65536", "[::1]", "a b:1"]) assert.throws(() => endpointsOf(wrong), assent.ConfigError, wrong);
  for (const near of ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/x", "ipv4:127.0.0.1:1"]) assert.ok(isNear(near), near);
  for (const far of ["192.0.2.1:1", "127.evil.example:1", "example.com:1"]) assert.ok(!isNear(far), far);
  const token = new Dialling({ token: { secret: "word" } });
  assert.deepEqual(token.metadata("127.0.0.1:1").get("authorization"), ["Bearer word"]);
  assert.throws(() => token.metadata("192.0.2.1:1"), /without TLS/);
  assert.equal(new Dialling({ token: { secret: "word", overPlain: true } }).metadata("192.0.2.1:1").get("authorization").length, 1);
  const empty = join(folder(t), "empty");
  writeFileSync(empty, "\n");
  const wrong = [
    [{ token: { file: "/nowhere" } }, /\/nowhere, cannot be read/], [{ token: { file: empty } }, /is empty/], [{ token: { secret: "a b" } }, /one word/],
    [{ tls: { certFile: "c", keyFile: "k" } }, /CAs that are believed/], [{ tls: { caFile: empty, keyFile: "k" } }, /needs its key/],
    [{ tls: { caFile: empty } }, /no certificate in PEM/], [{ tls: { caFile: "/nowhere" } }, /\/nowhere, cannot be read/],
  ];
  for (const [options, sentence] of wrong) assert.throws(() => new Dialling(options), (error) => error instanceof assent.ConfigError && sentence.test(error.message));
});

// ---- the desk

const waiter = (answers) => ({ alive: () => true, answer: (one, reply) => answers.push([Operation[one.operation], Buffer.from(reply.result).toString()]) });
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("one operation of a branch runs at a time, and who asks again joins", async () => {
  const jobs = [], answers = [];
  const desk = new Desk((job) => jobs.push(job), 3);
  desk.ask(call(Operation.TRY), waiter(answers));
  desk.ask(call(Operation.CANCEL), waiter(answers));
  desk.ask(call(Operation.TRY), waiter(answers));
  desk.ask(call(Operation.TRY, { branchId: "2" }), waiter(answers));
  assert.equal(jobs.length, 2, "the cancel waits, the other branch does not");
  assert.equal(desk.ask(call(Operation.TRY, { branchId: "3" }), waiter(answers)), false, "there is no room");
  jobs[0].answer(done("tried"));
  jobs[0].answer(done("once more"));
  await turn();
  assert.equal(jobs.length, 3);
  jobs[2].answer(done("cancelled"));
  assert.deepEqual(answers, [["TRY", "tried"], ["TRY", "tried"], ["CANCEL", "cancelled"]]);
  assert.equal(desk.size, 1);
});

test("what nobody waits for any more is not begun", () => {
  const jobs = [], answers = [];
  const desk = new Desk((job) => jobs.push(job), 3);
  desk.ask(call(Operation.TRY), { ...waiter(answers), alive: () => false });
  assert.equal(jobs[0].begin(), false);
  desk.ask(call(Operation.TRY, { timeoutMs: 60_000 }), waiter(answers));
  assert.equal(jobs[1].begin(), true);
});

test("the former owner of a slot is not heard", () => {
  const desk = new Desk(() => undefined, 1);
  assert.ok(desk.heardFromOwner(1, 7, 5n) && desk.heardFromOwner(1, 7, 5n) && desk.heardFromOwner(2, 7, 4n) && desk.heardFromOwner(1, 7, 0n));
  assert.equal(desk.heardFromOwner(1, 7, 4n), false);
});

// ---- a session

function session(resultBytes = 200 * 1024, execute = (job) => job.answer(done("x".repeat(resultBytes)))) {
  const desk = new Desk(execute, 4096);
  const delivered = [];
  const one = new Session({
    endpoint: "e", hello: { maxInFlight: 600 }, desk, counters: { commands: 0, replies: 0, droppedReplies: 0, connections: 0, staleCommands: 0 },
    deliver: (...words) => delivered.push(words), log: () => undefined, wake: () => undefined });
  const welcome = { welcome: { sessionId: "s", coordinatorId: 1, epoch: 1, clusterVersion: 0 }, commands: [], answers: [] };
  const command = (id) => ({ gid: `g${id}`, branchId: "1", operation: Operation.TRY, protocol: Protocol.TCC, action: "a", commandId: id, results: {}, headers: {}, payload: [] });
  return { one, welcome, delivered, command };
}

test("a session's frames keep their limits, and it leaves when all is answered", () => {
  for (const resultBytes of [200 * 1024, 1]) {
    const { one, welcome, command } = session(resultBytes);
    assert.ok(one.nextFrame().hello);
    assert.equal(one.nextFrame(), undefined);
    one.onFrame(welcome);
    one.onFrame({ commands: Array.from({ length: 300 }, (_, at) => command(at + 1)), answers: [] });
    one.stop();
    let replies = 0;
    for (let frame; (frame = one.nextFrame()); ) {
      assert.ok(METHODS.Connect.requestSerialize(frame).length < 4 * 1024 * 1024 && frame.replies.length <= 256);
      assert.equal(Boolean(frame.goodbye), replies === 0);
      replies += frame.replies.length;
    }
    assert.equal(replies, 300);
    assert.ok(one.finished);
  }
});

test("what is beyond a session's limits waits, or is told so", () => {
  const { one, welcome, command } = session(1, () => undefined);
  one.nextFrame();
  one.onFrame(welcome);
  one.onFrame({ commands: Array.from({ length: 601 }, (_, at) => command(at + 1)), answers: [] });
  const [reply, ...others] = one.nextFrame().replies;
  assert.deepEqual([reply.gid, reply.kind, others.length], ["g601", Kind.RETRY_LATER, 0]);
  assert.match(reply.reason, /more than maxInFlight \(600\)/);
  for (let at = 0; at < 1100; at += 1) one.question({ gid: `q${at}`, branchId: "1", coordinatorId: 1, beganEpoch: 1n });
  let asked = 0;
  for (let frame; (frame = one.nextFrame()); ) asked += frame.queries.length;
  assert.equal(asked, 1024);
});

test("who shares the log is dialled, and not more than there may be", () => {
  const roster = new Roster(new assent.Service("s").saga("a", () => {}), { endpoints: "seed:1", maxInFlight: 100 });
  assert.equal(roster.hello("seed:1").maxInFlight, 100);
  roster.learn(1, { members: [{ address: "http://a" }, { address: "seed:1" }, { address: "b:1" }] });
  assert.deepEqual(roster.wanted(), ["seed:1", "b:1"]);
  assert.equal(roster.hello("b:1").maxInFlight, 50);
  roster.learn(1, { members: Array.from({ length: 40 }, (_, at) => ({ address: `m${at}:1` })) });
  assert.equal(roster.wanted().length, 33);
  assert.equal(roster.hello("m0:1").maxInFlight, 32);
  for (const [name, value] of [["workers", 0], ["maxInFlight", NaN], ["stopGraceMs", -1]]) {
    assert.throws(() => new Roster(new assent.Service("s").saga("a", () => {}), { [name]: value }), new RegExp(`${name} is ${value}; it must be at least`));
  }
});

test("the limits are those of the guide", () => {
  const sources = readdirSync(join(HERE, "src")).map((name) => readFileSync(join(HERE, "src", name), "utf8")).join("\n");
  const guide = readFileSync(join(ROOT, "docs/sdk-node.md"), "utf8").split("## Limits")[1].split("## Testing")[0];
  const rows = [...guide.matchAll(/^\| `(\w+)` \| (\d+) \|/gm)];
  assert.ok(rows.length > 8);
  for (const [, name, value] of rows) {
    const [, said] = new RegExp(`\\b(?:const ${name} =|${name}:) ([\\d_* ]+)[;,]`).exec(sources) ?? assert.fail(name);
    assert.equal(said.replaceAll("_", "").split("*").reduce((product, factor) => product * Number(factor), 1), Number(value), name);
  }
});

test("a coordinator that does not keep to the protocol is given up", () => {
  assert.throws(() => session().one.onFrame({ commands: [], answers: [] }), /no Welcome/);
  const { one, welcome } = session();
  one.onFrame(welcome);
  assert.throws(() => one.onFrame(welcome), /second Welcome/);
});

test("an answer to what was not asked is dropped", () => {
  const { one, welcome, delivered } = session();
  one.onFrame(welcome);
  one.question({ gid: "g", branchId: "1", coordinatorId: 1, beganEpoch: 2n ** 60n });
  one.nextFrame();
  const { queries } = one.nextFrame();
  assert.equal(unsignedOf(queries[0].beganEpoch), 2n ** 60n);
  const answer = { gid: "g", branchId: "1", verdict: Verdict.COMMIT, finished: true };
  one.onFrame({ commands: [], answers: [{ ...answer, branchId: "2" }, answer, answer] });
  assert.deepEqual(delivered.map(([held, verdict]) => [held.branchId, verdict]), [["1", Verdict.COMMIT]]);
});

// ---- how a call is repeated

const RETRY = { initialBackoffMs: 10, maxBackoffMs: 100, giveUpAfterMs: 1000 };
const ALONE = { version: 0, slots: [], members: [], departed: [] };

/** Answers by (ask, number of this method's asks so far); its clock is moved by pauses. */
function world(answer, map = () => ({ code: "OK", reply: ALONE, contacted: true })) {
  let now = 1000;
  const asked = [];
  return {
    asked, now: () => now,
    pause: async (ms) => void (now += Math.max(ms, 1)),
    ask: async (ask) => {
      if (ask.method === "Cluster") return map(ask);
      asked.push(ask.endpoint);
      now += 1;
      return { contacted: true, message: "", ...answer(ask, asked.length) };
    },
  };
}
const submit = (transport, { seeds = ["a:1"], readOnly = false, signal, timeoutMs = 5000, retry = RETRY } = {}) =>
  carryOut(new Routes(seeds), { method: "Submit", request: {}, gid: "g", what: "Submit", timeoutMs, readOnly }, retry, transport, signal);

test("what nobody can tell is asked again, and ends as unknown", async () => {
  for (const code of ["UNAVAILABLE", "UNKNOWN", "INTERNAL", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "99"]) {
    const there = world((_, count) => (count < 4 ? { code } : { code: "OK", reply: "report" }));
    assert.equal(await submit(there), "report", code);
    await assert.rejects(submit(world(() => ({ code }))), (error) => error instanceof assent.UnknownOutcome && error.gid === "g", code);
  }
});

test("without a connection nothing was begun; once contacted it may have been", async () => {
  await assert.rejects(submit(world(() => ({ code: "UNAVAILABLE", contacted: false }))), assent.Unavailable);
  await assert.rejects(submit(world((_, count) => ({ code: "UNAVAILABLE", contacted: count === 1 }))), assent.UnknownOutcome);
  await assert.rejects(submit(world(() => ({ code: "UNAVAILABLE" })), { readOnly: true }), assent.Unavailable);
  await assert.rejects(submit(world(() => ({ code: "UNAVAILABLE" })), { readOnly: true, timeoutMs: 20 }), assent.DeadlineExceeded);
});

test("the coordinator's own codes end it, and those of the door", async () => {
  const ends = { INVALID_ARGUMENT: assent.InvalidArgument, ALREADY_EXISTS: assent.AlreadyExists, FAILED_PRECONDITION: assent.FailedPrecondition,
    ABORTED: assent.Aborted, DATA_LOSS: assent.DataLoss, NOT_FOUND: assent.NotFound, PERMISSION_DENIED: assent.UnknownOutcome,
    UNIMPLEMENTED: assent.UnknownOutcome, UNAUTHENTICATED: assent.UnknownOutcome };
  for (const [code, kind] of Object.entries(ends)) {
    const there = world(() => ({ code }));
    await assert.rejects(submit(there), kind);
    assert.equal(there.asked.length, 1, code);
  }
  await assert.rejects(submit(world(() => ({ code: "PERMISSION_DENIED" })), { readOnly: true }), assent.NotAllowed);
});

test("coordinators that are not known to share a log do not get each other's work", async () => {
  const there = world(({ endpoint }) => ({ code: "UNAVAILABLE", contacted: endpoint === "b:1" }), () => ({ code: "UNAVAILABLE", contacted: false }));
  await assert.rejects(submit(there, { seeds: ["a:1", "b:1"] }), assent.UnknownOutcome);
  assert.deepEqual([...new Set(there.asked.slice(1))], ["b:1"]);
});

test("in a cluster the owner is asked, then others, and who is named", async () => {
  const slots = Buffer.alloc(16);
  slots.writeUInt16LE(2, 2 * slotOf("g", 8));
  const view = { version: 3, generation: 1, slots, members: [{ address: "a:1" }, { address: "b:1" }, { address: "c:1" }], departed: [] };
  const map = () => ({ code: "OK", reply: view, contacted: true });
  const there = world(({ endpoint }) => (endpoint === "d:1" ? { code: "OK", reply: "report" } : { code: "UNAVAILABLE", owner: endpoint === "b:1" ? "d:1" : "" }), map);
  assert.equal(await submit(there), "report");
  assert.deepEqual(there.asked, ["b:1", "d:1"]);
  const without = world(({ endpoint }) => (endpoint === "c:1" ? { code: "OK", reply: "report" } : { code: "UNAVAILABLE" }), map);
  await submit(without);
  assert.deepEqual(without.asked, ["b:1", "a:1", "c:1"]);
});

test("whoever is alone with its log is asked alone, unless others are known to share one", () => {
  const routes = new Routes(["a:1", "b:1"]);
  routes.learn("b:1", ALONE);
  assert.deepEqual(routes.endpoints, ["b:1"]);
  const shared = new Routes(["a:1", "b:1"]);
  shared.learn("a:1", { version: 2, generation: 1, slots: Buffer.alloc(2), members: [{ address: "a:1" }], departed: [{ address: "b:1" }] });
  assert.deepEqual(shared.endpoints, ["a:1"], "one that has left is not asked, though it was given");
  shared.learn("a:1", { version: 1, generation: 1, slots: Buffer.alloc(2), members: [{ address: "c:1" }], departed: [] });
  shared.learn("c:1", ALONE);
  assert.deepEqual(shared.endpoints, ["a:1"]);
});

test("a signal gives the waiting up, and says what may have been done", async () => {
  const after = (count) => {
    const controller = new AbortController();
    const there = world((_, number) => (number === count && controller.abort(new Error("enough")), { code: "UNAVAILABLE", contacted: count > 1 }));
    return [there, { signal: controller.signal }];
  };
  await assert.rejects(submit(...after(1)), /enough/);
  await assert.rejects(submit(...after(2)), (error) => error instanceof assent.UnknownOutcome && error.cause.message === "enough");
});

test("the slot of a gid is that of every other SDK", () => {
  assert.equal(slotOf("", 1 << 16), 0x2325);
  assert.equal(slotOf("a", 1 << 16), 0xec8c); // the published value of "a"
});

// Instances in both languages may share a database: no two of them are at one branch.
test("a branch's lock is that of the Python SDK", () => {
  const one = call(Operation.TRY, { gid: "g1", branchId: "b:2" });
  assert.equal(keyOfBranch(one), -1713887523504371845n);
  assert.equal(lockOfBranch(one), "assent/b5967554032e2f69ab0f3732aaaf798376d48b29");
});

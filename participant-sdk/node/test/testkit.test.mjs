// The test kit names what is wrong with handlers that keep the contract by themselves, or do not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Protocol, Refused, Service } from "assent-sdk";
import { ask, checkContract } from "assent-sdk/testkit";
import { Kind, Operation } from "../dist/words.js";

/** A service whose book is a Map. `mistakes`: rules that it does not keep. */
function service(...mistakes) {
  const book = new Map();
  const once = (name, finish) => (call) => {
    const state = book.get(call.gid);
    if (finish) {
      if (!mistakes.includes("finish without forward") && state?.is !== "tried" && state?.is !== name) throw new Refused(`it is ${state?.is}`);
      book.set(call.gid, { ...state, is: name });
      return;
    }
    if (state && !mistakes.includes("other bytes")) {
      if (state.is === "tombstone" && !mistakes.includes("late forward")) throw new Refused("too late");
      return state.result;
    }
    book.set(call.gid, { is: "tried", result: `${Math.random()}` });
    return book.get(call.gid).result;
  };
  const undo = (call) => {
    const state = book.get(call.gid);
    if (!state && mistakes.includes("empty undo")) throw new Error("nothing to undo");
    if (state?.is === "confirmed" && !mistakes.includes("both")) throw new Refused("already confirmed");
    book.set(call.gid, { ...state, is: state && state.is !== "tombstone" ? "undone" : "tombstone" });
  };
  return new Service("shop").tcc("take", { try: once("tried"), confirm: once("confirmed", true), cancel: undo });
}

const probe = { protocol: Protocol.TCC, action: "take" };

test("handlers that keep the contract are found to", async () => {
  const report = await checkContract(service(), probe);
  assert.deepEqual([report.broken, report.committed, report.undone], [[], 1, 3]);
  assert.equal(String(report), "kept: 1 committed, 3 undone");
});

test("each mistake is named", async () => {
  const named = {
    "other bytes": /TRY asked again was answered otherwise/, "late forward": /undone before it came: TRY was answered DONE .* not REFUSED/,
    "empty undo": /undone before it came: CANCEL was answered RETRY_LATER \(Error: nothing to undo\)/,
    "finish without forward": /finished without its forward operation: CONFIRM was answered DONE/, both: /to the end: CANCEL was answered DONE/,
  };
  for (const [mistake, sentence] of Object.entries(named)) assert.match(String(await checkContract(service(mistake), probe)), sentence, mistake);
});

test("one operation is asked", async () => {
  const reply = await ask(service(), { gid: "g", branchId: "1", operation: Operation.CONFIRM, protocol: Protocol.TCC, action: "take" });
  assert.deepEqual([reply.kind, reply.reason], [Kind.REFUSED, "it is undefined"]);
  assert.equal((await ask(service(), { gid: "g", branchId: "1", operation: Operation.ACTION, protocol: Protocol.SAGA, action: "other" })).kind, Kind.RETRY_LATER);
});

// The barrier: what a branch has done, so that each operation happens once, a cancel may come before its try, and a try that comes
// after its cancel is refused for good. The rules of every database here: values in, values out.
//
// They are those of participant-sdk/cpp/barrier/DESIGN.md, which has them as tables; a test holds both together. An adapter keeps one
// row per branch, in the same local transaction as the business rows, and does this:
//
//     row     = what is kept of (gid, branchId), or NO_ROW
//     opening = openCall(call, row)
//     opening.move is run?   run the handler; keep what stateAfter() says; answer what it answered
//                     bury?  keep a TOMBSTONE; answer opening.reply
//                     else   answer opening.reply

import { type Call, done, refused, Reply } from "./call.js";
import { Kind, MAX_BRANCH_ID_BYTES, MAX_GID_BYTES, Operation, Protocol, protocolOf, type Role, roleOf, shortOf, Verdict } from "./words.js";

/** The state of a branch. Stored: never renumber. */
export enum Kept {
  NONE = 0, // no row
  REFUSED = 1, // the forward operation said no; nothing happened
  DONE = 2, // tried, or acted: in force, and may be finished or undone
  READ_ONLY = 3, // prepared without writing anything
  PREPARED = 4, // changes are kept aside, to be applied or dropped
  FINISHED = 5, // confirmed or committed. Final
  UNDONE = 6, // cancelled, compensated or rolled back after its forward operation. Final
  TOMBSTONE = 7, // undone before its forward operation, which will be refused. Final
}

/** What to do about an operation, given the state of its branch. */
export type Move =
  | "run"
  | "replay" // answer as the forward operation was answered
  | "repeat" // finished or undone before: done again, with the same result
  | "nothing" // done: there is nothing to do
  | "bury" // leave a tombstone, then done
  | "refuse";

export const MOVES: Readonly<Record<Kept, Readonly<Record<Role, Move>>>> = {
  [Kept.NONE]: { forward: "run", finish: "refuse", undo: "bury" },
  [Kept.REFUSED]: { forward: "replay", finish: "refuse", undo: "nothing" },
  [Kept.DONE]: { forward: "replay", finish: "run", undo: "run" },
  [Kept.READ_ONLY]: { forward: "replay", finish: "nothing", undo: "nothing" },
  [Kept.PREPARED]: { forward: "replay", finish: "run", undo: "run" },
  [Kept.FINISHED]: { forward: "replay", finish: "repeat", undo: "refuse" },
  [Kept.UNDONE]: { forward: "replay", finish: "refuse", undo: "repeat" },
  [Kept.TOMBSTONE]: { forward: "refuse", finish: "refuse", undo: "nothing" },
};

/** Why it is refused. HAZARD: atomicity may be lost. */
export const REFUSALS: Readonly<Partial<Record<Operation, Readonly<Partial<Record<Kept, string>>>>>> = {
  [Operation.PREPARE]: { [Kept.TOMBSTONE]: "rolled back before it was prepared" },
  [Operation.TRY]: { [Kept.TOMBSTONE]: "cancelled before it was tried" },
  [Operation.ACTION]: { [Kept.TOMBSTONE]: "compensated before it was executed" },
  [Operation.COMMIT]: {
    [Kept.NONE]: "HAZARD: not prepared here",
    [Kept.REFUSED]: "HAZARD: not prepared here: the prepare was refused",
    [Kept.UNDONE]: "HAZARD: rolled back here",
    [Kept.TOMBSTONE]: "HAZARD: rolled back here",
  },
  [Operation.CONFIRM]: {
    [Kept.NONE]: "nothing tried",
    [Kept.REFUSED]: "nothing tried: the try was refused",
    [Kept.UNDONE]: "already cancelled",
    [Kept.TOMBSTONE]: "already cancelled",
  },
  [Operation.ROLLBACK]: { [Kept.FINISHED]: "already committed" },
  [Operation.CANCEL]: { [Kept.FINISHED]: "already confirmed" },
};

/** What is kept of a branch. */
export interface Row {
  readonly state: Kept;
  readonly protocol: Protocol;
  readonly action: string;
  /** Of the forward operation. */
  readonly first: Reply;
  /** Of the finishing or undoing one. */
  readonly secondResult: Uint8Array;
}

export const NO_ROW: Row = { state: Kept.NONE, protocol: Protocol.SAGA, action: "", first: done(), secondResult: new Uint8Array() };

export interface Opening {
  readonly move: Move;
  /** Unless it is to be run. */
  readonly reply: Reply;
}

export function openCall(call: Call, row: Row): Opening {
  if (protocolOf(call.operation) !== call.protocol) return refuse(`not an operation of a ${shortOf(call.protocol)} branch`);
  if (!call.gid || Buffer.byteLength(call.gid) > MAX_GID_BYTES || !call.branchId || Buffer.byteLength(call.branchId) > MAX_BRANCH_ID_BYTES) {
    return refuse("gid or branch id is empty or too long");
  }
  if (row.state !== Kept.NONE && (row.protocol !== call.protocol || row.action !== call.action)) {
    return refuse(`HAZARD: this branch was seen as ${shortOf(row.protocol)} ${row.action}, not ${shortOf(call.protocol)} ${call.action}`);
  }
  const move = MOVES[row.state][roleOf(call.operation)];
  switch (move) {
    case "refuse":
      // (A Saga has no finishing operation, and its undo is never refused.)
      return refuse(REFUSALS[call.operation]?.[row.state] ?? "not refused");
    case "replay":
      return { move, reply: row.first };
    case "repeat":
      return { move, reply: done(row.secondResult) };
    case "run":
    case "nothing":
    case "bury":
      return { move, reply: done() };
  }
}

function refuse(reason: string): Opening {
  return { move: "refuse", reply: refused(reason) };
}

/**
 * The state in which an operation that ran leaves its branch; NONE: nothing of it is kept, and it will run again.
 *
 * A refused forward operation is kept, since the coordinator may abort on it. One of the second phase is not: there is no way but
 * forward after a decision, and asking again may find it mended.
 */
export function stateAfter(call: Call, reply: Reply, wrote = true): Kept {
  const role = roleOf(call.operation);
  if (reply.kind === Kind.REFUSED) return role === "forward" ? Kept.REFUSED : Kept.NONE;
  if (!reply.isDone) return Kept.NONE;
  if (role === "finish") return Kept.FINISHED;
  if (role === "undo") return Kept.UNDONE;
  if (call.operation !== Operation.PREPARE) return Kept.DONE;
  if (!wrote) return Kept.READ_ONLY;
  return call.onePhase ? Kept.FINISHED : Kept.PREPARED;
}

/** What to do about a kept row when the coordinator has said what became of its transaction. */
export type Upkeep =
  | "keep"
  | "commit"
  | "roll back"
  | "orphan" // a try that nobody will ever confirm or cancel: marked, when it is old, for a person
  | "forget"; // when it is old, the row goes

export function upkeepFor(state: Kept, protocol: Protocol, verdict: Verdict, finished: boolean): Upkeep {
  if (state === Kept.NONE || (verdict !== Verdict.COMMIT && verdict !== Verdict.ABORT)) return "keep";
  if (state === Kept.PREPARED) return verdict === Verdict.COMMIT ? "commit" : "roll back";
  if (!finished) return "keep";
  return state === Kept.DONE && protocol === Protocol.TCC ? "orphan" : "forget";
}

/** A branch that an adapter holds, and wants to know about. */
export interface Held {
  readonly gid: string;
  readonly branchId: string;
  readonly coordinatorId: number;
  readonly beganEpoch: bigint;
}

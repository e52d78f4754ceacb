// The words that every part shares: protocols, operations, outcomes, limits. The numbers, and the order of names, are those of the wire.

/** How one branch is driven. */
export enum Protocol {
  TWO_PHASE = 1, // PREPARE, then COMMIT or ROLLBACK
  TCC = 2, // TRY, then CONFIRM or CANCEL
  SAGA = 3, // ACTION; COMPENSATE if the transaction aborts
}

/** What a branch is asked to do. */
export enum Operation {
  PREPARE = 1,
  COMMIT = 2,
  ROLLBACK = 3,
  TRY = 4,
  CONFIRM = 5,
  CANCEL = 6,
  ACTION = 7,
  COMPENSATE = 8,
}

/** What the three protocols have in common. */
export type Role = "forward" | "finish" | "undo";

/** What a reply says. */
export enum Kind {
  UNKNOWN = 0, // nobody can say whether it has happened: asked again
  DONE = 1,
  DONE_READ_ONLY = 2,
  REFUSED = 3,
  RETRY_LATER = 4,
}

/** What the coordinator says about a branch that is held. */
export enum Verdict {
  UNDECIDED = 1,
  COMMIT = 2,
  ABORT = 3,
  CANNOT_TELL = 4,
}

/** In which order branches start when their own `after` says nothing. */
export enum Ordering {
  DEFAULT = 0, // Saga steps follow one another, other branches start at once
  SEQUENTIAL = 1,
  DECLARED = 2, // only `after` counts
}

/** How far a transaction has to be before a call answers. */
export enum WaitFor {
  ACCEPTED = 1,
  DECIDED = 2,
  COMPLETED = 3,
}

/** Where a transaction stands. With the outcome COMMITTED, COMMITTING: it is decided, and participants are still being told. */
export enum State {
  UNKNOWN = "UNKNOWN",
  ACTIVE = "ACTIVE",
  COMMITTING = "COMMITTING",
  ABORTING = "ABORTING",
  FINISHED = "FINISHED",
}

/** What became of it. It does not change any more, but to MIXED or HAZARD. */
export enum Outcome {
  UNDECIDED = "UNDECIDED",
  COMMITTED = "COMMITTED",
  ABORTED = "ABORTED",
  MIXED = "MIXED", // a person resolved branches against the decision
  HAZARD = "HAZARD", // it is not known what happened in some branch
}

export enum BranchState {
  UNKNOWN = "UNKNOWN",
  WAITING = "WAITING",
  EXECUTING = "EXECUTING",
  EXECUTED = "EXECUTED",
  READ_ONLY = "READ_ONLY",
  REFUSED = "REFUSED",
  FINISHING = "FINISHING",
  DONE = "DONE",
  UNDOING = "UNDOING",
  UNDONE = "UNDONE",
  SKIPPED = "SKIPPED",
}

export function protocolOf(operation: Operation): Protocol {
  if (operation <= Operation.ROLLBACK) return Protocol.TWO_PHASE;
  return operation <= Operation.CANCEL ? Protocol.TCC : Protocol.SAGA;
}

export function roleOf(operation: Operation): Role {
  switch (operation) {
    case Operation.PREPARE:
    case Operation.TRY:
    case Operation.ACTION:
      return "forward";
    case Operation.COMMIT:
    case Operation.CONFIRM:
      return "finish";
    case Operation.ROLLBACK:
    case Operation.CANCEL:
    case Operation.COMPENSATE:
      return "undo";
  }
}

/** For names and sentences: "2pc", "tcc", "saga". */
export function shortOf(protocol: Protocol): string {
  return ["", "2pc", "tcc", "saga"][protocol] ?? `protocol ${protocol}`;
}

/** What is only read is a name, for whoever prints it: by its place in the order of the wire. A value of a newer coordinator is none of ours. */
export function known<T extends string>(names: Record<string, T>, value: number, otherwise: T): T {
  return Object.values(names)[value] ?? otherwise;
}

// Limits of the contract (docs/limits.md has all of them).
export const MAX_GID_BYTES = 64;
export const MAX_BRANCH_ID_BYTES = 64;
export const MAX_NAME_BYTES = 128; // of a service, an action, an instance
export const MAX_REASON_BYTES = 1024; // longer ones are cut
export const MAX_RESULT_BYTES = 256 * 1024;
export const MAX_PAYLOAD_BYTES = 1024 * 1024;
export const MAX_BRANCHES = 128;
export const MAX_TRANSACTION_BYTES = 3 * 1024 * 1024; // of payloads and headers, together
export const MAX_LABELS = 16;
export const MAX_HEADERS = 16; // of a branch
export const MAX_KEY_BYTES = 64; // of a label, a header
export const MAX_LABEL_BYTES = 256;
export const MAX_HEADER_BYTES = 1024;
export const MAX_TRACESTATE_BYTES = 512;
export const MAX_ATTEMPTS = 1_000_000;
export const MAX_FRAME_MESSAGES = 256;
export const MAX_FRAME_BYTES = 8 * 1024 * 1024; // what a coordinator may send at most
export const FRAME_BYTES = 1024 * 1024; // what a frame of ours is filled up to

/**
 * As many whole characters as have room. What is no character (a lone surrogate) and the zero that not every database keeps
 * become others.
 */
export function cut(text: string, limit = MAX_REASON_BYTES): string {
  const data = Buffer.from(text.replaceAll("\0", "?"), "utf8");
  if (data.length <= limit) return data.toString("utf8");
  let end = limit;
  while (end > 0 && (data[end]! & 0xc0) === 0x80) end -= 1;
  return data.toString("utf8", 0, end);
}

/** What others say of themselves must not end a line and begin another. */
export function oneLine(text: string, limit = 4096): string {
  return cut(text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "?"), limit);
}

export function bytesOf(data: Uint8Array | string | undefined): Uint8Array {
  return typeof data === "string" ? Buffer.from(data, "utf8") : (data ?? new Uint8Array());
}

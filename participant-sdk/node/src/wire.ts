// Between the values of this package and the messages of the wire. Here alone are both known.

import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import type { MethodDefinition } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { Call, type Reply } from "./call.js";
import { type Branch, type BranchResult, Report, type Transaction, type TransactionInfo } from "./transaction.js";
import { BranchState, cut, known, Operation, Outcome, Protocol, shortOf, State, type WaitFor } from "./words.js";

/** A message, as protobufjs shows it: fields in camelCase, 64 bits as a Long. */
export type Message = Record<string, any>;
type Numeric = number | { low: number; high: number };

const root = protobuf.Root.fromJSON(JSON.parse(readFileSync(new URL("./assent.json", import.meta.url), "utf8")));

/** Text that is not UTF-8 is no message. (protobufjs would put other characters there, and a gid would be another one.) */
class StrictReader extends protobuf.BufferReader {
  override string(): string {
    const data = this.bytes() as Buffer;
    if (!isUtf8(data)) throw new Error("a text is not UTF-8");
    return data.toString("utf8");
  }
}

function method(service: string, name: string, request: string, reply: string, requestStream = false, responseStream = false): MethodDefinition<Message, Message> {
  const [of, gives] = [root.lookupType(`assent.v1.${request}`), root.lookupType(`assent.v1.${reply}`)];
  const write = (type: protobuf.Type) => (message: Message) => Buffer.from(type.encode(message).finish());
  const read = (type: protobuf.Type) => (data: Buffer) => type.decode(new StrictReader(data)) as Message;
  return {
    path: `/assent.v1.${service}/${name}`, requestStream, responseStream,
    requestSerialize: write(of), requestDeserialize: read(of), responseSerialize: write(gives), responseDeserialize: read(gives),
  };
}

const SUBMIT = method("TransactionService", "Submit", "SubmitRequest", "SubmitReply");

export const METHODS = {
  Submit: SUBMIT,
  /** Of what somebody else has written: whatever is in it goes on as it is. */
  SubmitBytes: { ...SUBMIT, requestSerialize: (message: Message) => message.bytes as Buffer },
  Begin: method("TransactionService", "Begin", "BeginRequest", "BeginReply"),
  ExecuteBranch: method("TransactionService", "ExecuteBranch", "ExecuteBranchRequest", "ExecuteBranchReply"),
  Commit: method("TransactionService", "Commit", "CommitRequest", "SubmitReply"),
  Rollback: method("TransactionService", "Rollback", "RollbackRequest", "SubmitReply"),
  Wait: method("TransactionService", "Wait", "WaitRequest", "SubmitReply"),
  Get: method("TransactionService", "Get", "GetRequest", "Transaction"),
  GetServerInfo: method("TransactionService", "GetServerInfo", "GetServerInfoRequest", "ServerInfo"),
  Cluster: method("ClusterService", "Get", "GetClusterRequest", "ClusterView"),
  WatchCluster: method("ClusterService", "Watch", "WatchClusterRequest", "ClusterView", false, true),
  Connect: method("ParticipantSession", "Connect", "ParticipantFrame", "CoordinatorFrame", true, true),
  Execute: method("Participant", "Execute", "BranchCommand", "BranchReply"),
} as const;
export type MethodName = keyof typeof METHODS;

export function numberOf(value: Numeric | undefined): number {
  if (typeof value === "number" || value === undefined) return value ?? 0;
  return (value.high | 0) * 2 ** 32 + (value.low >>> 0);
}

export function unsignedOf(value: Numeric | undefined): bigint {
  if (typeof value === "number" || value === undefined) return BigInt(value ?? 0);
  return (BigInt(value.high >>> 0) << 32n) | BigInt(value.low >>> 0);
}

export function longOf(value: bigint): Numeric {
  return { low: Number(value & 0xffffffffn) | 0, high: Number((value >> 32n) & 0xffffffffn) | 0 };
}

const ms = (time: number) => Math.round(time);
/** protobufjs has an empty array where there are no bytes. */
const bytes = (data: Uint8Array | never[]): Uint8Array => (data instanceof Uint8Array ? data : new Uint8Array());
const bytesByKey = (map: Record<string, Uint8Array>) => new Map(Object.entries(map).map(([key, data]) => [key, bytes(data)]));

export function branchSpec(branch: Branch): Message {
  return {
    branchId: branch.id, protocol: branch.protocol, service: branch.service, action: branch.action, payload: branch.payload,
    after: branch.after, pivot: branch.pivot, checkBack: branch.checkBack, receiveResults: branch.receiveResults, headers: branch.headers,
    attemptTimeoutMs: ms(branch.attemptTimeoutMs),
    retry: { initialBackoffMs: ms(branch.initialBackoffMs), maxBackoffMs: ms(branch.maxBackoffMs), maxAttempts: branch.maxAttempts },
  };
}

export function transactionSpec(transaction: Transaction): Message {
  return {
    gid: transaction.gid, branches: transaction.branches.map(branchSpec), ordering: transaction.ordering,
    deadlineMs: ms(transaction.deadlineMs), labels: transaction.labels, ...transaction.trace,
  };
}

/** Without a wait_for. */
export function bytesOfSubmit(transaction: Transaction): Buffer {
  return SUBMIT.requestSerialize({ transaction: transactionSpec(transaction) });
}

/** The gid in it. Throws where it is no SubmitRequest. */
export function readSubmit(request: Buffer): string {
  return String(SUBMIT.requestDeserialize(request).transaction?.gid ?? "");
}

/** The same with another wait_for: of two the last counts. */
export function submitBytes(request: Buffer, waitFor: WaitFor): Message {
  return { bytes: Buffer.concat([request, SUBMIT.requestSerialize({ waitFor })]) };
}

export function reportOf(reply: Message): Report {
  return new Report(reply.gid, known(State, reply.state, State.UNKNOWN), known(Outcome, reply.outcome, Outcome.HAZARD), reply.abortReason,
    bytesByKey(reply.results));
}

export function branchResultOf(reply: Message): BranchResult {
  const state = known(BranchState, reply.state, BranchState.UNKNOWN);
  return {
    branchId: reply.branchId, refused: state === BranchState.REFUSED, readOnly: state === BranchState.READ_ONLY,
    result: bytes(reply.result), reason: reply.reason,
  };
}

export function infoOf(message: Message): TransactionInfo {
  const at = (time: Numeric) => (numberOf(time) === 0 ? undefined : new Date(numberOf(time)));
  return {
    gid: message.gid, state: known(State, message.state, State.UNKNOWN), outcome: known(Outcome, message.outcome, Outcome.HAZARD),
    open: message.open, suspended: message.suspended, labels: new Map(Object.entries(message.labels)), abortReason: message.abortReason,
    whyNotFinished: message.whyNotFinished, began: at(message.beganUnixMs), deadline: at(message.deadlineUnixMs),
    decided: at(message.decidedUnixMs), finished: at(message.finishedUnixMs),
    branches: message.branches.map((one: Message) => ({
      id: one.spec?.branchId ?? "", protocol: shortOf(one.spec?.protocol ?? 0), service: one.spec?.service ?? "", action: one.spec?.action ?? "",
      state: known(BranchState, one.state, BranchState.UNKNOWN), result: bytes(one.result), attempts: one.attemptCount, lastError: one.lastError,
      needsOperator: one.needsOperator,
    })),
  };
}

/** Throws a sentence that says what is ill-formed. */
export function callOf(command: Message): Call {
  if (!command.gid || !command.branchId) throw new Error("it has no gid, or no branch_id");
  if (!Operation[command.operation] || !Protocol[command.protocol]) {
    throw new Error(`its operation (${command.operation}) or protocol (${command.protocol}) is not known here`);
  }
  return new Call({
    gid: command.gid, branchId: command.branchId, operation: command.operation, protocol: command.protocol, service: command.service,
    action: command.action, payload: bytes(command.payload), results: bytesByKey(command.results),
    headers: new Map(Object.entries(command.headers)), attempt: command.attempt, onePhase: command.onePhase,
    timeoutMs: numberOf(command.timeoutMs), coordinatorId: command.coordinatorId, beganEpoch: unsignedOf(command.beganEpoch),
    beganUnixMs: numberOf(command.beganUnixMs), trace: { traceparent: command.traceparent, tracestate: command.tracestate },
  });
}

/** `command`: whatever has gid, branchId and operation. */
export function replyMessage(command: Message | Call, reply: Reply, commandId?: Numeric): Message {
  const message: Message = { gid: command.gid, branchId: command.branchId, operation: command.operation, commandId, kind: reply.kind };
  if (reply.isDone) return { ...message, result: reply.result };
  return { ...message, reason: cut(reply.reason), retryAfterMs: ms(reply.retryAfterMs), blockedByGid: reply.blockedBy };
}


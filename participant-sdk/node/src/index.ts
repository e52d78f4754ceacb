// The Node SDK of Assent: take part in distributed transactions, and run them. README.md begins with a whole program.

export { Call, type CallFields, done, readOnly, Refused, refused, Reply, type Returned, RetryLater, retryLater, type Trace, Unknown } from "./call.js";
export { checkBack, type CheckBackOptions, enlist, enlistSync } from "./check-back.js";
export { Client, type CallOptions, type ClientOptions, OpenTransaction } from "./client.js";
export type { DialOptions, Tls, Token } from "./dial.js";
export {
  Aborted, AlreadyExists, AssentError, ConfigError, DataLoss, DeadlineExceeded, FailedPrecondition, InvalidArgument, NotAllowed, NotFound,
  Unavailable, UnknownOutcome,
} from "./errors.js";
export { type HttpAnswer, HttpEndpoint, type HttpOptions, MAX_BODY_BYTES, verifySignature } from "./http.js";
export { type MySqlPool, MySQL } from "./mysql.js";
export { Outbox, type OutboxOptions, type PublishOptions } from "./outbox.js";
export type { OutboxCounts, OutboxRow } from "./outbox-sql.js";
export { Participant } from "./participant.js";
export type { Retry } from "./plan.js";
export { type PgPool, PostgreSQL, type PostgreSQLOptions } from "./postgresql.js";
export { Relay, type RelayOptions, type RelayStats } from "./relay.js";
export type { ParticipantOptions } from "./roster.js";
export { type ServerOptions, ServerTx } from "./server-sql.js";
export { type Handler, type Resource, type SagaHandlers, Service, type TccHandlers, type TwoPhaseHandlers } from "./service.js";
export type { Publishing, QueryConnection, SQLiteConnection } from "./speaker.js";
export { SQLite, type SQLiteOptions, SQLiteTx } from "./sqlite.js";
export {
  Branch, type BranchInfo, type BranchOptions, type BranchResult, newGid, Report, Transaction, type TransactionInfo, type TransactionOptions,
} from "./transaction.js";
export { type ServerTls, type UnaryOptions, UnaryServer } from "./unary.js";
export { VERSION } from "./version.js";
export { BranchState, Kind, Operation, Ordering, Outcome, Protocol, State, Verdict, WaitFor } from "./words.js";

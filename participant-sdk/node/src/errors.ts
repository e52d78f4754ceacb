// What a client's call may fail with, and what to do next. An abort is no failure: it is a Report.

/** Of this package. */
export class AssentError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/**
 * It may or may not have been done. Submit the same object again, or `wait` on its gid, until one of them answers: the same gid is
 * the same transaction, so nothing happens twice. Never make a new one.
 */
export class UnknownOutcome extends AssentError {
  constructor(message: string, readonly gid = "", options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * This call has begun nothing: there was no connection, to any coordinator. Try later, or give up safely; unless an earlier call of
 * the same gid ended in UnknownOutcome, which this does not settle.
 */
export class Unavailable extends AssentError {}

/** `wait` and `get`: the answer did not come in time. The transaction goes on. */
export class DeadlineExceeded extends AssentError {}

/** It can never work; the message names the field and the limit. */
export class InvalidArgument extends AssentError {}

/**
 * No such gid among what is retained. After an UnknownOutcome of `submit` this is not an abort: the request may still be on its way.
 * Submit the same object again.
 */
export class NotFound extends AssentError {}

/** The gid, or the branch id, belongs to other content. Use another. */
export class AlreadyExists extends AssentError {}

/** The transaction's state does not allow it (a commit after its abort, say). Asking again does not help. */
export class FailedPrecondition extends AssentError {}

/** `execute`: the transaction was aborted before this branch had an answer; the message says why. */
export class Aborted extends AssentError {}

/** The coordinator's own record of it is damaged. Tell an operator. */
export class DataLoss extends AssentError {}

/**
 * `wait` and `get`: the coordinator (or a proxy) does not let this caller in, or does not know the call. Look at the token, the
 * certificate, the rules (docs/security.md).
 */
export class NotAllowed extends AssentError {}

/** An option, an environment variable or a file of settings cannot be used; the message says which. */
export class ConfigError extends AssentError {}

/** The coordinator's own answers: no library and no proxy makes them up. By the name of gRPC's code. */
export const FINAL: Readonly<Record<string, new (message: string) => AssentError>> = {
  INVALID_ARGUMENT: InvalidArgument,
  NOT_FOUND: NotFound,
  ALREADY_EXISTS: AlreadyExists,
  FAILED_PRECONDITION: FailedPrecondition,
  ABORTED: Aborted,
  DATA_LOSS: DataLoss,
};

/** Nobody can say who speaks, and asking again will not help. */
export const NOT_SERVED: readonly string[] = ["PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED"];

/** The failure that ends a call that has, or has not, possibly been done. */
export function giveUp(what: string, gid: string, maybeDone: boolean, last: string, options?: ErrorOptions): AssentError {
  if (maybeDone) return new UnknownOutcome(`${what} may or may not have been done; ask again with the same gid. Last error: ${last}`, gid, options);
  return new Unavailable(`${what} was not sent: ${last}`, options);
}

/** Of whatever was thrown. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

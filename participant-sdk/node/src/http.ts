// The transport for who has a web server already: the coordinator posts JSON to a URL.
//
//     assentd --unary payment=http://127.0.0.1:5000/assent …
//
//     const endpoint = await new HttpEndpoint(service).start();
//     app.post("/assent", express.raw({ type: "application/json", limit: MAX_BODY_BYTES }), endpoint.handler());
//
// For TCC and Saga, as with UnaryServer. It is of no framework: `answer` has bytes and headers in; a code, headers and a body out.

import { isUtf8 } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Call, type Reply, refused, retryLater } from "./call.js";
import { Desk } from "./desk.js";
import { readSettingsFile } from "./dial.js";
import { ConfigError, FailedPrecondition, sentenceOf } from "./errors.js";
import { Dispatcher, keyOf, type Service, unknownAction } from "./service.js";
import { cut, Kind, MAX_FRAME_BYTES, Operation, Protocol, roleOf } from "./words.js";

export const REPLY_TYPE = "application/assent-reply+json";
/** Of a command as JSON. */
export const MAX_BODY_BYTES = MAX_FRAME_BYTES;
/** How old a signature may be, and how far ahead the coordinator's clock. */
export const MAX_SIGNATURE_AGE_MS = 300_000;
const MIN_SECRET_BYTES = 16;

export interface HttpOptions {
  /** What this service has in the coordinator's --unary-secrets-file. Without one everybody who reaches the URL is believed to be a coordinator. */
  readonly secret?: string;
  /** A file with it. Of the environment, ASSENT_SECRET_FILE, if there is neither. */
  readonly secretFile?: string;
  /** Plain handlers that run at once. 16. */
  readonly workers?: number;
  /** One more is answered "retry later". 1024. */
  readonly maxQueuedCalls?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Whether `body` was signed by who has the secret, lately. */
export function verifySignature(secret: string, signature: string, body: Uint8Array, maxAgeMs = MAX_SIGNATURE_AGE_MS): boolean {
  const found = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(signature);
  if (!found || Math.abs(Date.now() - Number(found[1]) * 1000) > maxAgeMs) return false;
  const made = createHmac("sha256", secret).update(`${found[1]}.`).update(body).digest();
  return timingSafeEqual(made, Buffer.from(found[2]!, "hex"));
}

/** What an Express or node:http request and response have. */
interface Asked {
  readonly headers: IncomingHttpHeaders;
  readonly body?: unknown;
}
interface Answering {
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(body: string): unknown;
}

const bytesOf = (text: unknown): Uint8Array => Buffer.from(textOf(text), "base64");
function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") throw new Error(`${JSON.stringify(value)} is no string`);
  return value;
}
function mapOf<T>(value: unknown, of: (one: unknown) => T): Map<string, T> {
  return new Map(Object.entries((value ?? {}) as object).map(([key, one]) => [key, of(one)]));
}
/** Numbers of 64 bits come as strings. */
const unsignedOf = (value: unknown): bigint => BigInt((value ?? 0) as string | number);

/** Throws a sentence that says what is ill-formed. */
function callOf(body: Uint8Array): Call {
  if (!isUtf8(body)) throw new Error("it is not UTF-8");
  const command = JSON.parse(Buffer.from(body).toString()) as Record<string, unknown>;
  const [gid, branchId] = [textOf(command.gid), textOf(command.branchId)];
  if (!gid || !branchId) throw new Error("it has no gid, or no branchId");
  const operation = Operation[textOf(command.operation) as keyof typeof Operation];
  const protocol = Protocol[textOf(command.protocol) as keyof typeof Protocol];
  if (!operation || !protocol) throw new Error(`its operation (${command.operation}) or protocol (${command.protocol}) is not known here`);
  return new Call({
    gid, branchId, operation, protocol, service: textOf(command.service), action: textOf(command.action), payload: bytesOf(command.payload),
    results: mapOf(command.results, bytesOf), headers: mapOf(command.headers, textOf), attempt: Number(command.attempt ?? 1),
    onePhase: command.onePhase === true, timeoutMs: Number(unsignedOf(command.timeoutMs)), coordinatorId: Number(command.coordinatorId ?? 0),
    beganEpoch: unsignedOf(command.beganEpoch), beganUnixMs: Number(unsignedOf(command.beganUnixMs)),
    trace: { traceparent: textOf(command.traceparent), tracestate: textOf(command.tracestate) },
  });
}

/** No reply: its outcome is unknown to the coordinator, which asks again. */
function said(status: number, words: string): HttpAnswer {
  return { status, headers: { "Content-Type": "text/plain; charset=utf-8" }, body: words };
}

// A text may have halves of characters, which no JSON of UTF-8 has.
function replied(call: Call, reply: Reply): HttpAnswer {
  if (reply.kind === Kind.UNKNOWN) return said(500, reply.reason);
  const body = {
    gid: call.gid, branchId: call.branchId, operation: Operation[call.operation], kind: Kind[reply.kind],
    ...(reply.isDone
      ? { result: Buffer.from(reply.result).toString("base64") }
      : { reason: Buffer.from(cut(reply.reason)).toString(), retryAfterMs: Math.round(reply.retryAfterMs), blockedByGid: reply.blockedBy }),
  };
  return { status: 200, headers: { "Content-Type": REPLY_TYPE }, body: JSON.stringify(body) };
}

/** What a route of a web server hands its requests to. */
export class HttpEndpoint {
  #dispatcher: Dispatcher | undefined;
  #desk: Desk | undefined;
  readonly #secret: string;

  constructor(private readonly service: Service, private readonly options: HttpOptions = {}) {
    const file = options.secretFile ?? (options.secret === undefined ? process.env.ASSENT_SECRET_FILE : undefined);
    this.#secret = file ? readSettingsFile("the secret", file).toString().trim() : (options.secret ?? "");
    if ((file || options.secret !== undefined) && Buffer.byteLength(this.#secret) < MIN_SECRET_BYTES) {
      throw new ConfigError(`the secret has ${Buffer.byteLength(this.#secret)} bytes: it takes ${MIN_SECRET_BYTES} at least, as in --unary-secrets-file`);
    }
  }

  async start(): Promise<this> {
    if (this.#dispatcher) throw new FailedPrecondition("the endpoint was started before; make another one");
    const dispatcher = new Dispatcher(this.service, this.options.workers ?? 16);
    await dispatcher.start();
    this.#desk = new Desk((job) => dispatcher.execute(job), this.options.maxQueuedCalls ?? 1024);
    this.#dispatcher = dispatcher;
    return this;
  }

  async answer(body: Uint8Array, headers: IncomingHttpHeaders): Promise<HttpAnswer> {
    if (!this.#dispatcher || !this.#desk) throw new FailedPrecondition("the endpoint is not started");
    if (body.length > MAX_BODY_BYTES) return said(413, `a command has at most ${MAX_BODY_BYTES} bytes`);
    if (this.#secret && !verifySignature(this.#secret, String(headers["assent-signature"] ?? ""), body)) {
      return said(401, "this is not signed with the secret of this service, or its clock is another");
    }
    let call: Call;
    try {
      call = callOf(body);
    } catch (wrong) {
      return said(400, `ill-formed command: ${sentenceOf(wrong)}`);
    }
    if (!this.#dispatcher.owners.has(keyOf(call.protocol, call.action))) {
      // Here nobody else is asked first: without this no a forward operation would be asked until its deadline.
      const forward = roleOf(call.operation) === "forward";
      return replied(call, forward ? refused(`no ${Operation[call.operation]} of action ${call.action} here`) : unknownAction(call));
    }
    const until = performance.now() + (call.timeoutMs || 60_000);
    return await new Promise<HttpAnswer>((resolve) => {
      const alive = () => performance.now() < until;
      if (!this.#desk!.ask(call, { alive, answer: (_, reply) => resolve(replied(call, reply)) })) {
        resolve(replied(call, retryLater("the participant's queue is full (maxQueuedCalls)")));
      }
    });
  }

  /** For Express, behind express.raw(), or anything else that has put the body's bytes into `request.body`. */
  handler(): (request: Asked, response: Answering) => void {
    return (request, response) => {
      const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
      void this.answer(body, request.headers).catch((error) => said(500, sentenceOf(error))).then((answer) => {
        response.writeHead(answer.status, answer.headers);
        response.end(answer.body);
      });
    };
  }

  /** When the web server takes no more. */
  async close(): Promise<void> {
    await this.#dispatcher?.close(() => undefined);
  }
}

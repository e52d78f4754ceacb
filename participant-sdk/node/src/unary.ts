// The other transport: the coordinator dials out, and this serves assent.v1.Participant/Execute.
//
//     assentd --unary payment=127.0.0.1:7501 …
//     await new UnaryServer(service, "127.0.0.1:7501").run();
//
// For TCC and Saga; there is no way to ask about prepared work here, so two-phase commit waits to be told.

import * as grpc from "@grpc/grpc-js";
import { type Reply, refused, retryLater } from "./call.js";
import { Desk } from "./desk.js";
import { readSettingsFile } from "./dial.js";
import { ConfigError, FailedPrecondition, sentenceOf } from "./errors.js";
import { runUntilEnded } from "./participant.js";
import { Dispatcher, keyOf, type Service, unknownAction } from "./service.js";
import { callOf, type Message, METHODS, replyMessage } from "./wire.js";
import { Kind, MAX_FRAME_BYTES, Operation, roleOf } from "./words.js";

/** Files in PEM, read when the server starts. */
export interface ServerTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** The CAs that sign the coordinators' certificates, of which each then has to show one. */
  readonly clientCaFile?: string;
}

export interface UnaryOptions {
  /** Plain handlers that run at once. 16. */
  readonly workers?: number;
  /** One more is answered "retry later". 1024. */
  readonly maxQueuedCalls?: number;
  /** How long running handlers may take before it ends without their answers. 10 s. */
  readonly stopGraceMs?: number;
  readonly tls?: ServerTls;
}

export class UnaryServer {
  /** Where it listens, once it does. */
  port = 0;
  #server: grpc.Server | undefined;
  #dispatcher: Dispatcher | undefined;
  #stopped: Promise<void> | undefined;

  /** `listen`: "host:port"; port 0: any that is free, which `port` then says. */
  constructor(private readonly service: Service, private readonly listen = "127.0.0.1:7501", private readonly options: UnaryOptions = {}) {}

  async start(): Promise<this> {
    if (this.#dispatcher) throw new FailedPrecondition("the server was started before; make another one");
    const dispatcher = (this.#dispatcher = new Dispatcher(this.service, this.options.workers ?? 16));
    try {
      await this.#serve(dispatcher);
    } catch (error) {
      this.#dispatcher = this.#server = undefined; // it may be tried again
      throw error;
    }
    return this;
  }

  async #serve(dispatcher: Dispatcher): Promise<void> {
    const credentials = this.#credentials();
    await dispatcher.start();
    const desk = new Desk((job) => dispatcher.execute(job), this.options.maxQueuedCalls ?? 1024);
    const server = (this.#server = new grpc.Server({
      "grpc.max_receive_message_length": MAX_FRAME_BYTES, "grpc.max_send_message_length": MAX_FRAME_BYTES }));
    server.addService({ Execute: METHODS.Execute }, {
      Execute: (call: grpc.ServerUnaryCall<Message, Message>, answer: grpc.sendUnaryData<Message>) => this.#execute(desk, call, answer) });
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(this.listen, credentials, (error, port) => {
        if (error) reject(new ConfigError(`cannot listen on ${this.listen}: ${error.message}`, { cause: error }));
        else resolve(port);
      });
    });
  }

  #credentials(): grpc.ServerCredentials {
    const { tls } = this.options;
    if (!tls) return grpc.ServerCredentials.createInsecure();
    const pair = { private_key: readSettingsFile("the key", tls.keyFile), cert_chain: readSettingsFile("the certificate", tls.certFile) };
    const ca = tls.clientCaFile ? readSettingsFile("CAs of clients", tls.clientCaFile) : null;
    try {
      return grpc.ServerCredentials.createSsl(ca, [pair], ca !== null);
    } catch (error) {
      throw new ConfigError(`the files of TLS cannot be used: ${sentenceOf(error)}`, { cause: error });
    }
  }

  #execute(desk: Desk, asked: grpc.ServerUnaryCall<Message, Message>, answer: grpc.sendUnaryData<Message>): void {
    const command = asked.request;
    const say = (reply: Reply): void => {
      // Every status is an unknown outcome: asked again.
      if (reply.kind === Kind.UNKNOWN) answer({ code: grpc.status.UNKNOWN, details: reply.reason });
      else answer(null, replyMessage(command, reply));
    };
    let call;
    try {
      call = callOf(command);
    } catch (wrong) {
      answer({ code: grpc.status.UNKNOWN, details: `ill-formed command: ${(wrong as Error).message}` });
      return;
    }
    if (!this.#dispatcher!.owners.has(keyOf(call.protocol, call.action))) {
      // Here nobody else is asked first: without this no a forward operation would be asked until its deadline.
      const forward = roleOf(call.operation) === "forward";
      say(forward ? refused(`no ${Operation[call.operation]} of action ${call.action} here`) : unknownAction(call));
      return;
    }
    if (!desk.ask(call, { alive: () => !asked.cancelled, answer: (_, reply) => say(reply) })) {
      say(retryLater("the participant's queue is full (maxQueuedCalls)"));
    }
  }

  /** Takes no new calls, answers those that run, and ends. */
  stop(): Promise<void> {
    if (this.#dispatcher) this.#stopped ??= this.#leave(this.#dispatcher);
    return this.#stopped ?? Promise.resolve();
  }

  async #leave(dispatcher: Dispatcher): Promise<void> {
    const server = this.#server;
    if (server) {
      const grace = setTimeout(() => server.forceShutdown(), this.options.stopGraceMs ?? 10_000);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(grace);
    }
    await dispatcher.close(() => undefined);
  }

  /** Serves until SIGTERM or SIGINT comes, or the signal is aborted. */
  async run(options: { signal?: AbortSignal } = {}): Promise<void> {
    await runUntilEnded(this, options.signal);
  }
}

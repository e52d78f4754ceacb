// A branch's whole life in the test's process, without a coordinator: for unit tests of handlers.
//
//     const report = await checkContract(service, { protocol: Protocol.TCC, action: "seat", payload: "A1" });
//     assert.ok(report.ok, String(report));

import { Call, type CallFields, type Reply } from "./call.js";
import { Dispatcher, Job, type Resource, Service } from "./service.js";
import { newGid } from "./transaction.js";
import { bytesOf, Kind, Operation, Protocol } from "./words.js";

const PATIENCE_MS = 30_000;

const OPERATIONS: Readonly<Record<Protocol, { forward: Operation; finish?: Operation; undo: Operation }>> = {
  [Protocol.TWO_PHASE]: { forward: Operation.PREPARE, finish: Operation.COMMIT, undo: Operation.ROLLBACK },
  [Protocol.TCC]: { forward: Operation.TRY, finish: Operation.CONFIRM, undo: Operation.CANCEL },
  [Protocol.SAGA]: { forward: Operation.ACTION, undo: Operation.COMPENSATE },
};

/** One action to be checked, and a payload with which its forward operation succeeds every time. */
export interface Probe {
  readonly protocol: Protocol;
  readonly action: string;
  readonly payload?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class ContractReport {
  /** One sentence each; empty: the contract is kept. */
  readonly broken: string[] = [];
  /** Branches that took effect for good, each exactly once. */
  committed = 0;
  /** Branches that must have left no trace. */
  undone = 0;

  get ok(): boolean {
    return this.broken.length === 0;
  }

  toString(): string {
    return this.broken.join("; ") || `kept: ${this.committed} committed, ${this.undone} undone`;
  }
}

/** One call, answered. `target`: an adapter, or a service with its adapters; it is started. */
export async function ask(target: Service | Resource, fields: CallFields): Promise<Reply> {
  const service = target instanceof Service ? target : new Service("probe", target);
  const dispatcher = new Dispatcher(service, 1);
  await dispatcher.start();
  const call = new Call(fields);
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${call} was not answered within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    dispatcher.execute(new Job(call, (reply) => {
      clearTimeout(timer);
      resolve(reply);
    }));
  });
}

/** One branch. */
class Play {
  readonly gid = newGid();
  #attempts = 0;

  constructor(private readonly target: Service | Resource, private readonly probe: Probe, private readonly report: ContractReport, private readonly name: string) {}

  ask(operation: Operation): Promise<Reply> {
    const { protocol, action, payload, headers } = this.probe;
    return ask(this.target, {
      gid: this.gid, branchId: "1", operation, protocol, service: "probe", action, payload: bytesOf(payload),
      headers: new Map(Object.entries(headers ?? {})), attempt: (this.#attempts += 1), timeoutMs: PATIENCE_MS,
    });
  }

  async expect(operation: Operation, ...kinds: Kind[]): Promise<Reply> {
    const reply = await this.ask(operation);
    if (!kinds.includes(reply.kind)) {
      this.report.broken.push(`${this.name}: ${Operation[operation]} was answered ${Kind[reply.kind]} (${reply.reason || "no reason"}), not ` +
        kinds.map((kind) => Kind[kind]).join(" or "));
    }
    return reply;
  }

  async twice(operation: Operation, ...kinds: Kind[]): Promise<Reply> {
    const first = await this.expect(operation, ...kinds);
    await this.same(first, operation, "asked again");
    return first;
  }

  async same(first: Reply, operation: Operation, when: string): Promise<void> {
    const again = await this.ask(operation);
    if (shown(first) !== shown(again)) this.report.broken.push(`${this.name}: ${Operation[operation]} ${when} was answered otherwise: ${shown(first)} then ${shown(again)}`);
  }
}

function shown(reply: Reply): string {
  return `${Kind[reply.kind]} ${Buffer.from(reply.result).toString("latin1")}${reply.reason}`;
}

/** Run to the end, undo, each operation twice, undo before forward, forward after undo, finish without forward, with fresh gids. */
export async function checkContract(target: Service | Resource, probe: Probe): Promise<ContractReport> {
  const report = new ContractReport();
  const { forward, finish, undo } = OPERATIONS[probe.protocol];
  const happened = [Kind.DONE, Kind.DONE_READ_ONLY];
  const play = (name: string): Play => new Play(target, probe, report, name);

  const whole = play("to the end");
  const tried = await whole.twice(forward, ...happened);
  if (finish !== undefined) {
    await whole.twice(finish, Kind.DONE);
    await whole.expect(undo, Kind.REFUSED);
  }
  await whole.same(tried, forward, "late");
  report.committed += 1;

  const back = play("undone");
  const acted = await back.twice(forward, ...happened);
  await back.twice(undo, Kind.DONE);
  await back.same(acted, forward, "late");
  if (finish !== undefined) await back.expect(finish, Kind.REFUSED);
  report.undone += 1;

  const early = play("undone before it came");
  await early.twice(undo, Kind.DONE);
  await early.twice(forward, Kind.REFUSED);
  await early.expect(undo, Kind.DONE);
  if (finish !== undefined) await early.expect(finish, Kind.REFUSED);
  report.undone += 1;

  if (finish !== undefined) {
    await play("finished without its forward operation").expect(finish, Kind.REFUSED);
    report.undone += 1;
  }
  return report;
}

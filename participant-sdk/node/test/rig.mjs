// What the tests share: a real assentd, PostgreSQL and MariaDB, each on a private port and folder, and processes that end with the test.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const HERE = fileURLToPath(new URL("..", import.meta.url));
export const ROOT = join(HERE, "..", "..");
const PATIENCE_MS = 30_000;

/** Programs of the project: of ASSENT_BIN_DIR, or of the release build. */
export function binary(name) {
  const path = join(process.env.ASSENT_BIN_DIR ?? join(ROOT, "build/release/bin"), name);
  if (!existsSync(path)) throw new Error(`${path} is not there: build it first (tools/build.sh), or say where it is with ASSENT_BIN_DIR`);
  return path;
}

export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "assent-node-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** What it gives, once that is something. */
export async function until(what, condition) {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A process that may be killed, and that ends with this one. */
export class Process {
  output = "";

  constructor(command, words, environment = {}, options = {}) {
    this.child = spawn("setpriv", ["--pdeathsig", "KILL", "--", command, ...words], { env: { ...process.env, ...environment }, ...options });
    this.ended = new Promise((resolve) => this.child.once("exit", (code, signal) => resolve(code ?? signal)));
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (text) => (this.output += text));
  }

  /** How it ended: its exit code, or the signal. */
  async kill(signal = "SIGKILL") {
    this.child.kill(signal);
    return await this.ended;
  }
}

/** Runs to the end. */
export async function run(command, words, environment, options) {
  const running = new Process(command, words, environment, options);
  running.child.stdin.end(options?.input ?? "");
  return { code: await running.ended, output: running.output };
}

/** A real assentd. */
export class Daemon {
  static async start(t, ...words) {
    const daemon = new Daemon();
    daemon.endpoint = `127.0.0.1:${await freePort()}`;
    daemon.words = ["--listen", daemon.endpoint, "--http-listen", "none", ...(words.includes("--log") ? [] : ["--data", join(folder(t), "data")]), ...words];
    t.after(() => daemon.kill());
    await daemon.again();
    return daemon;
  }

  /** With the same log. */
  async again() {
    this.process = new Process(binary("assentd"), this.words);
    await new Promise((resolve, reject) => {
      createInterface(this.process.child.stdout).on("line", (line) => line.trim().startsWith("see ") && resolve());
      void this.process.ended.then((how) => reject(new Error(`assentd did not start (${how}): ${this.process.output}`)));
    });
  }

  kill() {
    return this.process.kill();
  }
}

/** A database server that a Python script of the project starts, and that ends with its standard input. */
export class Database {
  /** `start`: what the script imports, and makes of it. Undefined where there is none installed. */
  static async start(t, folders, start) {
    const script = `
import json, sys
sys.path[:0] = ${JSON.stringify(folders.map((one) => join(ROOT, "tests", one)))}
${start}
    for line in sys.stdin:
        if line.strip() == "kill": server.kill()
        if line.strip() == "start": server.start()
        print(json.dumps(new_url() if line.strip() == "new" else "done"), flush=True)`;
    const database = new Database();
    database.process = new Process("/usr/bin/python3", ["-B", "-c", script]);
    database.process.child.stdin.on("error", () => undefined); // its end is seen by what it does not answer
    database.lines = createInterface(database.process.child.stdout)[Symbol.asyncIterator]();
    t.after(async () => {
      database.process.child.stdin.end();
      await database.process.ended;
    });
    return (await database.say("ready?")) === undefined ? undefined : database;
  }

  /** "new": the URL of a new, empty database. "kill": kill -9. "start": the same again. */
  async say(word) {
    this.process.child.stdin.write(`${word}\n`);
    const { value, done } = await this.lines.next();
    if (!done) return JSON.parse(value);
    if ((await this.process.ended) === 3) return undefined;
    throw new Error(`the database server has ended: ${this.process.output}`);
  }
}

export function startPostgres(t, settings = { max_prepared_transactions: "100" }) {
  return Database.start(t, ["support"], `
from postgresql import Server, bin_folder
if bin_folder() is None: sys.exit(3)
with Server(${JSON.stringify(settings)}) as server:
    new_url = lambda: server.url(server.new_database())`);
}

export function startMariaDB(t) {
  return Database.start(t, ["sdk_python"], `
try: import mariadb
except ImportError: sys.exit(3)
if mariadb.program("mariadbd") is None: sys.exit(3)
with mariadb.Server() as server:
    new_url = lambda: f"mysql://root@127.0.0.1:{server.port}/{server.new_database()}"`);
}

"""Section `languages`: participants over each language's SDK, beside plain echo by that language's library, in turn."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

from bench import BIN, ROOT, figure, median, spread, table

IN_FLIGHT = 256  # transactions, or echoes, under way
COMMANDS = 4  # of a transaction: two branches, two phases. Each has an answer, as an echo's message has
TARGET = 0.6
SECONDS = 1.5  # of one run at most, and rounds: the whole has to end within ten minutes
ROUNDS = 3
WARMUP_SECONDS = 0.5  # of each run
# Of a run that does not count: until a machine code compiler has seen what there is.
FIRST_SECONDS = {"java": 6.0}
FIRST_SECONDS_OTHERS = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
LANGUAGES = ("c++", "go", "java", "python", "node")
NAMES = {"c++": "C++", "go": "Go", "java": "Java", "python": "Python", "node": "Node"}

# (language, name, what the participant's program is told, what echo's is told). A session is beside both echoes of its
# library, what is dialled by gRPC beside the unary one, HTTP beside HTTP.
WAYS = [
    ("c++", "session", "session", "echo"),
    ("c++", "unary", "unary", "echo"),
    ("go", "session", "session", "echo"),
    ("go", "unary", "unary", "echo"),
    ("java", "session", "session", "echo"),
    ("java", "unary", "unary", "echo"),
    ("python", "session, threads", "session", "echo"),
    ("python", "unary, threads", "unary", "echo"),
    ("python", "session, asyncio", "aio-session", "aio-echo"),
    ("python", "unary, asyncio", "aio-unary", "aio-echo"),
    ("python", "HTTP, http.server", "http", "http-echo"),
    ("node", "session", "session", "echo"),
    ("node", "unary", "unary", "echo"),
    ("node", "HTTP, node:http", "http", "http-echo"),
]


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system, of a process and those below it that have ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return sum(int(words[i]) for i in (11, 12, 13, 14)) / TICKS


class Program:
    """A process that has said the line that it was started for. It goes with its owner."""

    def __init__(self, argv, says):
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.said = self.wait_line(says)

    def wait_line(self, text):
        for line in self.process.stdout:
            if text in line:
                return line
        self.errors.seek(0)
        raise RuntimeError(f"{' '.join(self.process.args)} ended: {self.errors.read()[-2000:]}")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


class Side:
    """Processes, and one of them that is measured."""

    def __init__(self):
        self.programs, self.measured, self.caller, self.messages = [], None, None, 1

    def start(self, argv, says):
        self.programs.append(Program(argv, says))
        return self.programs[-1]

    def close(self):
        for program in reversed(self.programs):
            program.close()

    def run(self, seconds):
        """What the caller has seen, and the processor time that its side has taken meanwhile."""
        argv = [os.path.join(BIN, "assent-bench"), *self.caller, "--in-flight", str(IN_FLIGHT), "--seconds", str(seconds),
                "--warmup", str(WARMUP_SECONDS)]
        caller = Program(argv, "measuring")
        try:
            before = cpu_seconds(self.measured.process.pid)
            seen = json.loads(caller.wait_line("{"))
            used = cpu_seconds(self.measured.process.pid) - before
        finally:
            caller.close()
        return seen, used

    def measure(self, seconds):
        return result_of(*self.run(seconds), self.messages)


def result_of(seen, used, messages):
    """Messages a second, microseconds of processor time for each and its answer, and p50. Something that failed is an error: figures
    with failures mean nothing."""
    ended = seen["committed"] + seen["aborted"]
    if seen["failed"] or seen["aborted"] or not ended:
        raise RuntimeError(f"{seen['failed']} failed, {seen['aborted']} aborted of {ended}: {seen['first_failure']}")
    return {"messages": ended * messages / seen["seconds"], "cpu_us": used * 1e6 / (ended * messages),
            "p50_ms": seen["p50_us"] / 1000}


class Languages:
    """What was built of each, and why not."""

    def __init__(self, folder, wanted):
        self.folder, self.missing = folder, {}
        for language in wanted:
            if language == "c++":
                continue
            print(f"  building {NAMES[language]}", file=sys.stderr, flush=True)
            script = os.path.join(ROOT, "tools", "measure", "languages.sh")
            done = subprocess.run([script, language, folder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode == 3:
                self.missing[language] = done.stdout.strip().replace("\n", "; ")
            elif done.returncode:
                self.missing[language] = "its program cannot be built here"

    def command(self, language, role, address):
        if language != "c++":
            return [os.path.join(self.folder, language), role, address], "ready"
        name = {"session": "participant", "unary": "unary-participant", "echo": "echo-server"}[role]
        words = ["--participants", "1", "--endpoint", address]
        return [os.path.join(BIN, "assent-bench"), name, *words], "echo" if role == "echo" else "ready"


def engine_side(languages, language, role, folder):
    side = Side()
    daemon = [os.path.join(BIN, "assentd"), "--log-level", "warn", "--drain-seconds", "0", "--http-listen", "none", "--listen",
              "127.0.0.1:0", "--data", tempfile.mkdtemp(dir=folder)]
    try:
        if role.endswith("session"):
            endpoint = listening(side.start(daemon, "listening"))
            side.measured = side.start(*languages.command(language, role, endpoint))
        else:
            address = free_address()
            side.measured = side.start(*languages.command(language, role, address))
            target = f"http://{address}/assent" if role == "http" else address
            endpoint = listening(side.start([*daemon, "--unary", "bench-0=" + target], "listening"))
    except RuntimeError:
        side.close()
        raise
    side.caller = ["initiator", "--workload", "tcc", "--participants", "1", "--endpoint", endpoint]
    side.messages = COMMANDS
    return side


def listening(daemon):
    at = daemon.said.index("127.0.0.1:")
    return daemon.said[at:].split()[0].rstrip("/")


def echo_sides(languages, language, role, how):
    """One server; and a side for each of the ways to ask it that `how` is beside."""
    address = free_address()
    server = Side()
    server.measured = server.start(*languages.command(language, role, address))
    if role == "http-echo":
        server.caller = ["initiator", "--workload", "rest", "--participants", "1", "--endpoint", address]
        return {"echo": server}
    server.caller = ["echo-caller", "--workload", "unary", "--endpoint", address]
    sides = {"echo": server}
    if "session" in how:
        stream = Side()
        stream.measured = server.measured
        stream.caller = ["echo-caller", "--workload", "stream", "--endpoint", address]
        sides["stream"] = stream
    return sides


def measure(languages, way, folder, seconds, rounds):
    language, _, role, echo_role = way
    sides = {}
    try:
        sides["sdk"] = engine_side(languages, language, role, folder)
        sides.update(echo_sides(languages, language, echo_role, role))
        results = {name: [] for name in sides}
        for side in sides.values():
            side.run(FIRST_SECONDS.get(language, FIRST_SECONDS_OTHERS))
        for _ in range(rounds):
            for name, side in sides.items():
                results[name].append(side.measure(seconds))
    finally:
        for side in sides.values():
            side.close()
    return results


def row_of(way, results):
    language, name, _, _ = way
    column = lambda side, key: median(r[key] for r in results[side])
    ratio = lambda side: spread(s["messages"] / e["messages"] for s, e in zip(results["sdk"], results[side]))
    return [
        f"{NAMES[language]}, {name}", figure(column("sdk", "messages")), figure(column("echo", "messages")), ratio("echo"),
        figure(column("stream", "messages")) if "stream" in results else "", ratio("stream") if "stream" in results else "",
        "%.1f" % (2 * column("sdk", "cpu_us")), "%.1f" % (2 * column("echo", "cpu_us")),
        "%.1f" % (2 * column("stream", "cpu_us")) if "stream" in results else "",
        "%.1f" % column("sdk", "p50_ms"), "%.1f" % column("echo", "p50_ms")]


HEAD = ["two-branch TCC, 256 in flight", "commands/s", "unary echoes/s", "ratio", "echoes/s over one stream", "ratio",
        "CPU of a branch, µs", "of two unary echoes", "of two over a stream", "p50 ms", "of a unary echo"]


def missed(ways, taken, beside="echo"):
    """Sessions below the target, and by how much."""
    for way, results in zip(ways, taken):
        if "session" in way[2]:
            got = median(s["messages"] / e["messages"] for s, e in zip(results["sdk"], results[beside]))
            if got < TARGET:
                yield f"{NAMES[way[0]]}, {way[1]}: {got:.2f}"


def languages(settings, wanted=LANGUAGES):
    """Session SDKs at least 0.6 of their own library's echo."""
    seconds, rounds = min(settings.seconds, SECONDS), min(settings.rounds, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="assent-measure-") as folder:
        built = Languages(os.path.join(folder, "built"), wanted)
        ways = [way for way in WAYS if way[0] in wanted and way[0] not in built.missing]
        taken = []
        for way in ways:
            print(f"  {NAMES[way[0]]}, {way[1]}", file=sys.stderr, flush=True)
            taken.append(measure(built, way, folder, seconds, rounds))
    text = table(HEAD, [row_of(way, results) for way, results in zip(ways, taken)])
    short = list(missed(ways, taken))
    text += f"\n\nSessions, of the unary echo of their own library: the target is {TARGET:.2f} or more. "
    text += "Missed: " + "; ".join(short) + "." if short else "Reached by all."
    short = list(missed(ways, taken, "stream"))
    text += f" Beside echo over one stream, below {TARGET:.2f}: {'; '.join(short) or 'none'}."
    for language, why in built.missing.items():
        text += f" Left out: {NAMES[language]}, {why}."
    return {"rows": {f"{way[0]} {way[1]}": results for way, results in zip(ways, taken)}, "missing": built.missing}, text

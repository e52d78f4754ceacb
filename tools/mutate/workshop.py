"""A copy of the tree with a build of its own, in which one mutant at a time is compiled, linked and tested."""

import dataclasses
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

MEMORY_BYTES = 6 << 30  # a mutant that allocates for ever ends
FILE_BYTES = 2 << 30
DAEMON = "assentd"  # what tests with real processes start
TIMEOUT_FACTOR, TIMEOUT_SECONDS = 10, 20  # of the time without a mutant; a hang is a kill


class BuildError(Exception):
    pass


@dataclasses.dataclass
class Test:
    name: str
    target: str
    command: list
    environment: dict
    confirm: bool = False  # real processes and clocks: it must fail twice to count
    processes: bool = False  # starts the daemon
    seconds: float = 0


def listed(tree):
    """The files of a tree: what git tracks or would track; all where there is no git."""
    if os.path.exists(os.path.join(tree, ".git")):
        out = subprocess.run(["git", "-C", tree, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
                             check=True, stdout=subprocess.PIPE).stdout.decode()
        return sorted({f for f in out.split("\0") if f and os.path.isfile(os.path.join(tree, f))})
    found = []
    for folder, folders, files in os.walk(tree):
        folders[:] = [f for f in folders if f not in ("build", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, f), tree) for f in files]
    return sorted(found)


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)


class Workshop:
    def __init__(self, tree, place, preset="release", thorough=False):
        self.tree, self.place, self.preset = os.path.abspath(tree), os.path.abspath(place), preset
        self.copy = os.path.join(self.place, "tree")
        self.build = os.path.join(self.copy, "build", preset)
        self.thorough = thorough
        self.temporary = os.path.join("/dev/shm" if os.path.isdir("/dev/shm") else self.place,
                                      "mutate-%d-%s" % (os.getpid(), os.path.basename(self.place)))
        self.changed = {}  # object that is not the original's: where the original is kept

    # ---- the copy and its build

    def prepare(self):
        wanted = listed(self.tree)
        for file in wanted:
            source, target = os.path.join(self.tree, file), os.path.join(self.copy, file)
            # shutil.copy2 keeps the time, so that a second run builds only what has changed.
            if os.path.exists(target) and os.path.getmtime(source) == os.path.getmtime(target):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)
        if os.path.isdir(self.copy):
            for file in set(listed_below(self.copy)) - set(wanted):
                os.remove(os.path.join(self.copy, file))
        presets = os.path.exists(os.path.join(self.copy, "CMakePresets.json"))
        command = ["cmake", "--preset", self.preset] if presets else ["cmake", "-S", ".", "-B", self.build, "-G", "Ninja"]
        done = run(command + ["-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"], cwd=self.copy)
        if done.returncode:
            raise BuildError(done.stdout.decode(errors="replace"))
        os.makedirs(self.temporary, exist_ok=True)
        self.mend()

    def mend(self):
        """A run that was killed has left a mutant where an object should be."""
        for folder, _, files in os.walk(self.build):
            for name in files:
                if name.endswith(".o.original"):
                    path = os.path.join(folder, name[:-len(".original")])
                    self.changed[os.path.relpath(path, self.build)] = path
        self.restore()

    def ninja(self, *targets, jobs=1):
        done = run(["ninja", "-C", self.build, "-j", str(jobs), *targets])
        return done.returncode == 0, done.stdout.decode(errors="replace")

    def known_tests(self, part):
        shown = subprocess.run(["ctest", "--test-dir", self.build, "--show-only=json-v1"], check=True,
                               stdout=subprocess.PIPE).stdout
        wanted = part.tests + (part.slow if self.thorough else ())
        return [t for t in json.loads(shown)["tests"] if any(re.fullmatch(p, t["name"]) for p in wanted)]

    def tests(self, part):
        """The part's tests that this tree has; ctest knows a command once its program is built."""
        found = []
        for test in self.known_tests(part):
            name, command = test["name"], test.get("command", [])
            if not command:
                continue
            properties = {p["name"]: p["value"] for p in test.get("properties", [])}
            environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
            target = os.path.basename(command[0]) if command[0].startswith(self.build + "/") else DAEMON
            confirm = bool({"integration", "crash"} & set(properties.get("LABELS", [])))
            found.append(Test(name, target, command, environment, confirm, part.daemon and confirm))
        for target, arguments in part.programs:
            found.append(Test(" ".join((target,) + arguments), target,
                              [os.path.join(self.build, "bin", target), *arguments], {}))
        return found

    def build_and_time(self, part, jobs):
        """Builds what the part needs, without a mutant; its tests, the quick ones first. They must pass."""
        known = self.targets()
        targets = {t["name"] for t in self.known_tests(part)} | {p[0] for p in part.programs}
        targets = sorted((targets | {DAEMON}) & known if part.daemon else targets & known)
        good, output = self.ninja(*targets, jobs=jobs)
        if not good:
            raise BuildError(output[-4000:])
        self.learn(targets)
        tests = self.tests(part)
        for test in tests:
            begin = time.monotonic()
            passed, output = self.run_test(test, limit=1200)
            test.seconds = time.monotonic() - begin
            if not passed:
                raise BuildError(f"without a mutant {test.name} fails:\n{output[-4000:]}")
        return sorted(tests, key=lambda t: t.seconds)

    def targets(self):
        shown = run(["ninja", "-C", self.build, "-t", "targets", "all"]).stdout.decode()
        return {line.split(":")[0] for line in shown.split("\n") if line.endswith(": phony")}

    def learn(self, targets):
        """What is compiled how, and into what."""
        with open(os.path.join(self.build, "compile_commands.json"), encoding="utf-8") as file:
            commands = json.load(file)
        inputs = run(["ninja", "-C", self.build, "-t", "inputs", *targets]).stdout.decode().split("\n")
        needed = {os.path.normpath(line) for line in inputs}
        self.commands = {}  # object: command
        self.objects = {}  # source or header: objects
        for entry in commands:
            words = shlex.split(entry["command"])
            output = os.path.normpath(words[words.index("-o") + 1])
            if output in needed:
                self.commands[output] = words
                source = os.path.relpath(entry["file"], self.copy)
                self.objects.setdefault(source, []).append(output)
        current = None
        for line in run(["ninja", "-C", self.build, "-t", "deps"]).stdout.decode().split("\n"):
            if line and not line.startswith(" "):
                current = os.path.normpath(line.split(":")[0])
            elif line.strip() and current in self.commands:
                path = os.path.relpath(os.path.normpath(os.path.join(self.build, line.strip())), self.copy)
                if path.endswith(".h") and not path.startswith(("..", "build/")):
                    self.objects.setdefault(path, []).append(current)

    # ---- one mutant

    def try_mutant(self, mutant, tests):
        """(outcome, by whom or why): killed, survived, same object, does not compile."""
        self.restore()
        objects = self.objects.get(mutant.file, [])
        if not objects:
            return "not built", "no test of this part contains it"
        path = os.path.join(self.copy, mutant.file)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        times = os.stat(path)
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(mutant.apply(text))
            compiled = [self.compile(o) for o in objects]
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        if not all(compiled):
            return "does not compile", ""
        different = [o for o in objects if not self.same(o)]
        if not different:
            return "same object", ""
        for changed in different:
            self.install(changed)
        for test in tests:
            good, output = self.ninja(*({test.target, DAEMON} if test.processes else {test.target}))
            if not good:
                return "does not compile", "link: " + output[-300:]
            limit = TIMEOUT_FACTOR * test.seconds + TIMEOUT_SECONDS
            passed, output = self.run_test(test, limit)
            if not passed and test.confirm:
                passed, output = self.run_test(test, limit)
            if not passed:
                return "killed", test.name
        return "survived", ""

    def compile(self, output):
        words = self.commands[output]
        compiler = next(i for i, w in enumerate(words) if re.search(r"(^|/)(g\+\+|clang\+\+|c\+\+)[-\d.]*$", w))
        words = [w for w in words[compiler:] if not re.match(r"-W(?!l,)|-M[DFTQ]|-MMD", w) and not w.endswith(".o.d")]
        at = words.index("-o")
        for after in [i for i, w in enumerate(words) if w == output and i != at + 1]:
            words[after] = ""  # the argument of -MT
        words = [w for w in words if w]
        words[words.index("-o") + 1] = output + ".mutant"
        # What falls off the end of a function is undefined, and not a mistake that survives a review of warnings.
        done = run(words + ["-Werror=return-type"], cwd=self.build, timeout=600)
        return done.returncode == 0

    def same(self, output):
        stripped = []
        for name in (output, output + ".mutant"):
            target = os.path.join(self.temporary, os.path.basename(name) + ".stripped")
            subprocess.run(["objcopy", "--strip-debug", os.path.join(self.build, name), target], check=True)
            with open(target, "rb") as file:
                stripped.append(file.read())
        return stripped[0] == stripped[1]

    def install(self, output):
        """Puts the mutant's object in place. ninja takes an object that is newer than what it knows for out of date, so the
        time stays, and what is made of the object is removed."""
        path = os.path.join(self.build, output)
        os.replace(path, path + ".original")
        times = os.stat(path + ".original")
        os.replace(path + ".mutant", path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.changed[output] = path
        self.forget(output)

    def restore(self):
        for output, path in self.changed.items():
            os.replace(path + ".original", path)
            self.forget(output)
        self.changed = {}

    def forget(self, output):
        shown = run(["ninja", "-C", self.build, "-t", "query", output]).stdout.decode().split("outputs:")[-1]
        for made in shown.split():
            path = os.path.join(self.build, made)
            if os.path.isfile(path):
                os.remove(path)

    # ---- tests

    def run_test(self, test, limit):
        folder = tempfile.mkdtemp(dir=self.temporary)  # of its own: what was killed may still be writing
        environment = dict(os.environ, **test.environment)
        environment.update(TMPDIR=folder, GTEST_FAIL_FAST="1")
        log = os.path.join(self.temporary, "output")
        with open(log, "wb") as output:
            process = subprocess.Popen(test.command, cwd=self.build, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=limits)
            try:
                code = process.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                code = -1
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()
        with open(log, "rb") as output:
            output.seek(0, os.SEEK_END)
            output.seek(max(0, output.tell() - 8000))
            text = output.read().decode(errors="replace")
        shutil.rmtree(folder, ignore_errors=True)
        return code in (0, 77), text

    def close(self):
        self.restore()
        shutil.rmtree(self.temporary, ignore_errors=True)


def listed_below(folder):
    found = []
    for here, folders, files in os.walk(folder):
        if here == folder:
            folders[:] = [f for f in folders if f != "build"]
        folders[:] = [f for f in folders if f != "__pycache__"]
        found += [os.path.relpath(os.path.join(here, f), folder) for f in files]
    return found


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))

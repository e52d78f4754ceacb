"""What the pages name exists, and what they quote is so. Each check takes Pages and yields faults."""

import os
import re
import subprocess
import tempfile

import sdk_limits

# Flags of other programs that pages name: cmake, ctest, test.sh, the demo, the benchmarks, the simulator, the example in Python.
OTHER_FLAGS = {"--install", "--name", "--quick", "--asan", "--tsan", "--write", "--listen", "--database", "--stop", "--only", "--keep", "--files", "--plant", "--kills", "--minutes", "--seed", "--folder",
               "--break", "--benchmark_counters_tabular", "--benchmark_filter", "--build", "--component", "--prefix", "--preset", "--target", "--workload", "--in-flight",
               "--schedules", "--full", "--trace", "--replay", "--json", "--rate", "--branches", "--syscalls", "--under", "--tool", "--fuzz", "--merge", "--without",
               "--headers", "--thorough", "--transactions", "--seconds", "--rounds", "--round-seconds", "--no-pairs", "--max-interleavings", "--threads",
               "--commit-delay", "--coordinators", "--session", "--start", "--protocols", "--rule", "--patience-ms", "--output", "--list", "--mistake", "--mistakes", "--data-urlencode", "--faults", "--losses", "--promotions", "--take-overs", "--secure", "--polyglot", "--tls", "--payload", "--cacert", "--cert", "--key", "--http", "--app", "--port", "--secret-file", "--metrics-listen", "--parked", "--stop-patience"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")
TOPS = ("coordinator/", "docs/", "examples/", "participant-sdk/", "proto/", "tests/", "tools/")


class Pages:
    """The repository's text, with replacements on top for the tests of these checks: {path: (old, new)}."""

    def __init__(self, root, bin_dir, edits=None):
        self.root, self.bin, self.edits = root, bin_dir, edits or {}
        self._help = {}

    def pages(self):
        return ["README.md"] + sorted(folder + p for folder in ("docs/", "docs/measured/")
                                      for p in os.listdir(os.path.join(self.root, folder)) if p.endswith(".md"))

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            text = file.read()
        if path in self.edits:
            old, new = self.edits[path]
            assert old in text, f"the edit of {path} does not apply: {old}"
            text = text.replace(old, new)
        return text

    def exists(self, path):
        return os.path.exists(os.path.join(self.root, path))

    def run(self, *command, **environment):
        """(exit code, stdout) of one of our programs, in an environment without our own settings."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ASSENT_")}
        done = subprocess.run([os.path.join(self.bin, command[0]), *command[1:]], env={**clean, **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        return done.returncode, done.stdout.decode()

    def help(self, *command):
        if command not in self._help:
            code, text = self.run(*command, "--help")
            assert code == 0 and text, f"{command} --help ended with {code}"
            self._help[command] = text
        return self._help[command]

    def flags(self, *command):
        return set(FLAG.findall(self.help(*command)))

    def subcommands(self, *command):
        after = self.help(*command).partition("Subcommands:")[2].split("\n\n")[0]
        return set(re.findall(r"^  ([a-z-]+) ", after, re.M))

    def flags_below(self, *command):
        """Those of a command, and of the commands below it."""
        return self.flags(*command).union(*(self.flags_below(*command, name) for name in self.subcommands(*command)))


def check_minimal(pages):
    """README shows the whole of examples/minimal, as it is."""
    if f"```cpp\n{pages.text('examples/minimal/main.cc')}```\n" not in pages.text("README.md"):
        yield "README.md: the program is not that of examples/minimal/main.cc; run tests/docs/check_pages.py --write"


def slug(heading):
    """The anchor that a heading gets."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(text):
    return {slug(h) for h in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)}


def check_links(pages):
    """Files exist, and so do the headings within them."""
    for page in pages.pages():
        prose = re.sub(r"^```.*?^```", "", pages.text(page), flags=re.S | re.M)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            full = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not pages.exists(full):
                yield f"{page}: {target}: there is no {full}"
            elif anchor and anchor not in anchors(pages.text(full)):
                yield f"{page}: {target}: {full} has no such heading"


def check_paths(pages):
    """Paths of the repository, wherever they are named."""
    for page in pages.pages():
        for path in re.findall(r"(?<![\w/.-])((?:%s)[\w./*-]*\w)" % "|".join(TOPS), pages.text(page)):
            folder, name = os.path.split(path)
            if name.endswith((".*", "*")) or "*" in name:
                found = pages.exists(folder) and any(f.startswith(name.split("*")[0])
                                                     for f in os.listdir(os.path.join(pages.root, folder)))
            else:
                found = pages.exists(path)
            if not found:
                yield f"{page}: names {path}, which is not there"


def check_scenarios(pages):
    """Scenarios named in italics in the life of a transaction."""
    page = "docs/transaction-life.md"
    for names in re.findall(r"(?<![*\w])\*((?:[a-z0-9]+(?:-[a-z0-9]+)*)(?:, [a-z0-9-]+)*)\.?\*", pages.text(page)):
        for name in names.split(", "):
            if ("-" in name or pages.exists(f"tests/core/scenarios/{name}.txt")
                    or name in ("lies", "resolve", "operators", "suspend")) and not pages.exists(f"tests/core/scenarios/{name}.txt"):
                yield f"{page}: there is no scenario {name}"


def check_commands(pages):
    """Command lines of assentd and assentctl: the subcommand and each flag is in --help; other flags are known ones."""
    known = OTHER_FLAGS | pages.flags("assentd") | pages.flags("assentctl")
    subcommands = pages.subcommands("assentctl")
    for name in subcommands:
        known |= pages.flags_below("assentctl", name)
    for page in pages.pages():
        for number, line in enumerate(pages.text(page).split("\n"), 1):
            for flag in FLAG.findall(line):
                if flag not in known:
                    yield f"{page}:{number}: no program here has {flag}"
            for command in re.findall(r"(?:^|[`$( ])(assentd(?: --[^`|#&;>]*)?)", line):
                for flag in FLAG.findall(command):
                    if flag not in pages.flags("assentd"):
                        yield f"{page}:{number}: assentd has no {flag}"
            for rest in re.findall(r"(?:^ *|[`$(] ?|&& |\| )assentctl ([^`|#;)]*)", line):
                words = rest.split()
                commands = [w for w in words[:3] if w in subcommands]
                if not commands and words and re.fullmatch(r"[a-z]+", words[0]):
                    yield f"{page}:{number}: assentctl has no {words[0]}"
                allowed = pages.flags("assentctl") | (pages.flags_below("assentctl", commands[0]) if commands else set())
                for flag in FLAG.findall(rest):
                    if flag not in allowed:
                        yield f"{page}:{number}: assentctl {' '.join(commands)} has no {flag}"


def rows(text, columns):
    """The cells of a page's table rows that begin with a `name`."""
    for line in text.split("\n"):
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) >= columns:
            yield cells


def check_settings(pages):
    """The table of settings is the list that assentd has, with its defaults and its words, and each is read from the environment."""
    page = "docs/operating.md"
    _, shown = pages.run("assentd", "--show-config")
    defaults = dict(re.findall(r'^([\w-]+) = (?:"([^"]*)"|\[\])  # default$', shown, re.M))
    table = {c[0].strip("`"): c for c in rows(pages.text(page).split("## Settings")[1].split("\n## ")[0], 4)}
    for name in sorted(set(defaults) ^ {n[2:] for n in table}):
        yield f"{page}: setting {name} is only in {'assentd' if name in defaults else 'the page'}"
    for flag, cells in sorted(table.items()):
        value = cells[2].strip("`").replace("off", "false").replace("none", "")
        if value != defaults.get(flag[2:], value):
            yield f"{page}: default of {flag} is {value}, assentd says {defaults[flag[2:]]}"
    _, said = pages.run("assentd", "--help")
    for flag, cells in sorted(table.items()):
        text = re.search(rf"^  {flag}(?: [A-Z]\S*)?\s+(\S.*)$", said, re.M)
        if text and text[1].strip() != cells[3].replace("`", "").split("; see [")[0]:
            yield f"{page}: of {flag} assentd --help says: {text[1].strip()}"
    variables = {c[1].strip("`"): n[2:] for n, c in table.items()}
    something = {"unary": "bank=127.0.0.1:1", "log": "postgresql://host/database", "advertise": "host:1", "node": "a",
                 "unary-secrets-file": "a", "dns-servers": "127.0.0.1:53", "etcd-endpoints": "https://host:1", "etcd-user": "a", "etcd-password-file": "a", "etcd-register": "/a", "tls-etcd-ca": "a", "webhook-url": "https://host:1/", "webhook-secret-file": "a",
                 "trace-endpoint": "https://host:1/", "trace-headers-file": "a", "trace-url": "http://host/{trace_id}", "service-policies": "a",
                 "auth-rules": "a", "auth-tokens": "a", "auth-jwks": "a", "auth-jwt-issuer": "a", "auth-jwt-audience": "a", "encryption-keys": "a", "tls-cert": "a", "tls-key": "a", "tls-client-ca": "a", "tls-peer-ca": "a",
                 "tls-participant-ca": "a",
                 "tls-webhook-ca": "a", "tls-trace-ca": "a"}
    values = {v: something.get(n, defaults.get(n, "")) for v, n in variables.items()}
    code, shown = pages.run("assentd", "--show-config", **values)
    for variable, name in sorted(variables.items()):
        if code or not re.search(rf'^{name} = .*# environment$', shown, re.M):
            yield f"{page}: assentd does not read {variable}"


def check_config_file(pages):
    """The example of a configuration file is one."""
    page = "docs/operating.md"
    example = re.search(r"```\n(# assentd\.toml\n.*?)```", pages.text(page), re.S)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(example[1])
        file.flush()
        code, shown = pages.run("assentd", "--config", file.name, "--show-config")
    if code or shown.count("# file") != len(re.findall(r"^[\w-]+ = ", example[1], re.M)):
        yield f"{page}: assentd does not take the example of a configuration file"


def check_exit_codes(pages):
    """The daemon's, from server.h."""
    page = "docs/operating.md"
    codes = set(re.findall(r"constexpr int kExit\w+ = (\d+);", pages.text("coordinator/daemon/server.h")))
    table = set(re.findall(r"^\| (\d+) \|", pages.text(page).split("## Exit codes")[1].split("\n## ")[0], re.M))
    for code in sorted(codes ^ table):
        yield f"{page}: exit code {code} is only in {'the code' if code in codes else 'the page'}"
    final = re.findall(r"^\| (\d+) \|.*\| \*{0,2}no\b.*\|$", pages.text(page), re.M)
    for place in (page, "tools/packaging/assentd/assentd.service"):
        if not re.search(rf"RestartPreventExitStatus={' '.join(final)}(?=[`\n])", pages.text(place)):
            yield f"{place}: the unit has to have RestartPreventExitStatus={' '.join(final)}"


def value_of(text, name):
    """The value of a constant or of a member's initialiser in a header; None where there is none."""
    match = re.search(rf"\b{name}\s*(?:=|\{{)\s*([^;}}]+?)\s*[;}}]", re.sub(r"//.*", "", re.sub(r"std::\w+\{(\d+)\}", r"\1", text)))
    if not match:
        return None
    expression = re.sub(r"(?<=\d)(?:LL|ULL|u)\b", "", match[1].replace("'", ""))
    if not re.fullmatch(r"[\d\s*+<(),]+", expression):
        return None
    return str(eval(expression, {"__builtins__": {}})).strip("()")  # pylint: disable=eval-used


def check_limits(pages):
    """docs/limits.md gives each limit of the headers its value, and leaves out none of the wire's."""
    page = "docs/limits.md"
    for section in pages.text(page).split("\n## ")[1:]:
        headers = re.findall(r"`([\w/.-]+\.h)`", section.split("\n|")[0])
        header = " and ".join(headers)
        source = "\n".join(pages.text(name) for name in headers)
        named = set()
        for cells in rows(section, 4):
            name = cells[0].strip("`")
            named.add(name)
            if str(value_of(source, name)) != cells[1]:
                yield f"{page}: {name} is {cells[1]}, {header} says {value_of(source, name)}"
        if not named:
            yield f"{page}: no limits of {header}"
        # A moment that is written {} is the beginning of time, and no limit.
        for name in re.findall(r"inline constexpr [\w:]+ (k\w+)\b(?!\{\})", source):
            if name not in named:
                yield f"{page}: {name} of {header} is missing"


CHECKS = [sdk_limits.check_sdk_limits, check_minimal, check_links, check_paths, check_scenarios, check_commands, check_settings, check_config_file,
          check_exit_codes, check_limits]

#!/usr/bin/python3
"""The repository checks its own text: arrows between folders, sizes, hygiene, links.

    check_sources.py [ROOT]      prints one line per fault and exits 1 when there is any

Each check is a function from a Tree to faults; selftest.py shows each of them failing.
"""

import ast
import os
import re
import subprocess
import sys

import cmake_arrows
import rules

SOURCE = (".h", ".cc")
INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")')


class Tree:
    """The files of the repository: what git tracks or would track; all files where there is no git."""

    def __init__(self, root):
        self.root = root
        self.files = sorted(self._list())
        self._known = set(self.files)
        self._text = {}

    def _list(self):
        if os.path.exists(os.path.join(self.root, ".git")):
            listed = subprocess.run(
                ["git", "-C", self.root, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
                check=True, stdout=subprocess.PIPE).stdout.decode()
            return {f for f in listed.split("\0") if f and os.path.isfile(os.path.join(self.root, f))}
        found = set()
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in folders if f not in ("build", ".git", "__pycache__")]
            found.update(os.path.relpath(os.path.join(folder, f), self.root) for f in files)
        return found

    def has(self, path):
        return path in self._known

    def of(self, *suffixes):
        return [f for f in self.files if f.endswith(suffixes)]

    def text(self, path):
        if path not in self._text:
            with open(os.path.join(self.root, path), "rb") as file:
                self._text[path] = file.read().decode("utf-8", "replace")
        return self._text[path]

    def lines(self, path):
        return enumerate(self.text(path).split("\n"), 1)


def allowed_by(path):
    """The longest folder of rules.ARROWS that holds `path`, and its list; (None, None) when there is none."""
    folder = os.path.dirname(path)
    while folder:
        if folder in rules.ARROWS:
            return folder, rules.ARROWS[folder]
        folder = os.path.dirname(folder)
    return None, None


def kind_of(tree, name, quoted):
    """What an include is, in the words of rules.ARROWS."""
    if re.match(r"assent/v\d+/.*\.pb\.h$", name):
        return "wire"
    if tree.has("proto/vocabulary/" + name):
        return "vocabulary"
    if tree.has("participant-sdk/cpp/include/" + name):
        return "sdk"
    if quoted and tree.has(re.sub(r"(\.grpc)?\.pb\.h$", ".proto", name)):
        return os.path.dirname(name)
    top = name.split("/")[0]
    if top in ("grpc", "grpcpp", "google"):
        return "grpc"
    if re.match(r"(sys|arpa|netinet|linux)/|(unistd|fcntl|poll|resolv|signal|pthread|pwd|dlfcn|getopt|netdb|dirent|termios|sched|spawn|ucontext)\.h$"
                r"|[a-z]?mmintrin\.h$",
                name):
        return "posix"
    if re.match(r"[a-z_0-9]+$", name):
        return "std"
    if name in ("errno.h", "stdint.h", "stdlib.h", "string.h", "stdio.h", "time.h", "math.h", "stddef.h"):
        return "posix"
    return top


def check_arrows(tree):
    """Who includes whom."""
    for path in tree.of(*SOURCE):
        folder, allowed = allowed_by(path)
        if folder is None:
            yield f"{path}: no rule in tests/tidy/rules.py says what this folder may include"
            continue
        if allowed is None:
            continue
        allowed = list(allowed)
        if folder.startswith("participant-sdk"):
            allowed += [h for word, h in rules.ADAPTERS.items() if word in os.path.relpath(path, "participant-sdk")]
        if re.match(rules.RAW_EXAMPLES, path):
            allowed += ["wire", "grpc"]
        for number, line in tree.lines(path):
            match = INCLUDE.match(line)
            if not match:
                continue
            name, quoted = match.group(1)[1:-1], match.group(1)[0] == '"'
            kind = kind_of(tree, name, quoted)
            if not any(kind == a or kind.startswith(a + "/") for a in allowed):
                yield f"{path}:{number}: {folder} may not include {name} ({kind}); allowed: {', '.join(allowed)}"


def check_cmake_arrows(tree):
    yield from cmake_arrows.faults(tree)


def check_dead_rules(tree):
    """What a rule allows, somebody does."""
    if not tree.has("tests/tidy/rules.py"):
        return
    done = {}
    for path in tree.of(*SOURCE):
        folder, allowed = allowed_by(path)
        for _, line in tree.lines(path):
            match = INCLUDE.match(line) if allowed else None
            if match:
                done.setdefault(folder, set()).add(kind_of(tree, match.group(1)[1:-1], match.group(1)[0] == '"'))
    for folder, allowed in rules.ARROWS.items():
        for word in allowed or []:
            if word != folder and not any(kind == word or kind.startswith(word + "/") for kind in done.get(folder, [])):
                yield f"tests/tidy/rules.py: nothing in {folder} includes {word}"


def check_include_spelling(tree):
    """A quoted include is a path from the root of the repository, or generated code."""
    for path in tree.of(*SOURCE):
        for number, line in tree.lines(path):
            match = INCLUDE.match(line)
            if not match or match.group(1)[0] != '"':
                continue
            name = match.group(1)[1:-1]
            if name.startswith("assent/v") or tree.has(re.sub(r"(\.grpc)?\.pb\.h$", ".proto", name)):
                continue
            if os.path.dirname(path).startswith("tests/install"):
                continue
            yield f'{path}:{number}: "{name}" is not a path from the root of the repository'


def check_core_headers(tree):
    """The core has no clock, thread, randomness or stream."""
    for path in tree.of(*SOURCE):
        if not path.startswith("coordinator/core/"):
            continue
        for number, line in tree.lines(path):
            match = INCLUDE.match(line)
            if match and match.group(1)[1:-1] in rules.CORE_FORBIDDEN_HEADERS:
                yield f"{path}:{number}: the core is pure and may not include {match.group(1)}"


def check_length(tree):
    for path in tree.of(*rules.LENGTH_CHECKED):
        count = tree.text(path).count("\n")
        if count > rules.MAX_LINES:
            yield f"{path}: {count} lines; split it below {rules.MAX_LINES}"


# What may open a block at the beginning of a line and is no function.
NO_FUNCTION = re.compile(r"(namespace|class|struct|enum|union|if|for|while|switch|do|else|try|catch|return|case|default)\b"
                         r'|extern "C" \{|template <.*>\s*(class|struct)\b')


def functions_of(lines):
    """(first line, last line) of each function that is in no other. clang-format lays them out: a body begins with a brace at the
    end of a line, and ends with the first brace that is indented as the head was."""
    number = 0
    while number < len(lines):
        if not re.search(r"\{\s*(//.*)?$", lines[number]) or lines[number].lstrip().startswith("//"):
            number += 1
            continue
        first = number
        while first > 0 and re.search(r"[^;{}:>\s]\s*$|::$", lines[first - 1]) and not re.match(r"\s*(//|#)", lines[first - 1]):
            first -= 1
        head = re.sub(r'"([^"\\]|\\.)*"', '""', " ".join(line.strip() for line in lines[first:number + 1]))
        indent = len(lines[first]) - len(lines[first].lstrip())
        number += 1
        if "(" not in head or NO_FUNCTION.match(head) or re.search(r"=\s*\{(\s*//.*)?$|\]\s*[({]", head):
            continue
        end = re.compile(" " * indent + r"\}")
        while number < len(lines) and not end.match(lines[number]):
            number += 1
        yield first + 1, number + 1


def check_function_length(tree):
    for path in tree.of(".h", ".cc"):
        for first, last in functions_of(tree.text(path).split("\n")):
            if last - first + 1 > rules.MAX_FUNCTION_LINES:
                yield f"{path}:{first}: a function of {last - first + 1} lines; at most {rules.MAX_FUNCTION_LINES}"
    for path in tree.of(".py"):
        for node in ast.walk(ast.parse(tree.text(path))):
            length = getattr(node, "end_lineno", 0) - getattr(node, "lineno", 0) + 1
            if isinstance(node, ast.FunctionDef) and length > rules.MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: a function of {length} lines; at most {rules.MAX_FUNCTION_LINES}"


def check_whitespace(tree):
    for path in tree.files:
        if path.endswith((".png", ".db", ".gz", ".svg")) or path.startswith("tests/fuzz/corpus/"):
            continue
        text = tree.text(path)
        if text and not text.endswith("\n"):
            yield f"{path}: no newline at the end"
        if "\r" in text:
            yield f"{path}: carriage return"
        code = path.endswith((".h", ".cc", ".proto", ".py", ".sh", ".cmake", "CMakeLists.txt"))
        for number, line in tree.lines(path):
            if code and line != line.rstrip():
                yield f"{path}:{number}: trailing blanks"
            if path.endswith((".h", ".cc", ".proto")) and "\t" in line:
                yield f"{path}:{number}: tab"


def check_columns(tree):
    """What others read as it stands (SQL, help: raw strings) is as wide as it is."""
    for path in tree.of(".h", ".cc", ".proto"):
        text = re.sub(r'R"(\w*)\(.*?\)\1"', lambda raw: "\n" * raw[0].count("\n"), tree.text(path), flags=re.S)
        for number, line in enumerate(text.split("\n"), 1):
            wide = line.lstrip().startswith("//") and any(re.search(pattern, line) for pattern in rules.WIDE)
            most = rules.MAX_WIDE_COLUMNS if wide else rules.MAX_COLUMNS
            if len(line) > most:
                yield f"{path}:{number}: {len(line)} columns; at most {most}"


def check_banned(tree):
    for path in tree.files:
        if path == "tests/tidy/rules.py" or path == "tests/tidy/selftest.py":
            continue
        for rule, pattern, files, why in rules.BANNED:
            if not re.search(files, path):
                continue
            for number, line in tree.lines(path):
                if re.search(pattern, line) and f"tidy: allow({rule})" not in line:
                    yield f"{path}:{number}: {rule}: {why}"


def check_pragma_once(tree):
    for path in tree.of(".h"):
        for _, line in tree.lines(path):
            if line.strip() and not line.startswith("//"):
                if line.strip() != "#pragma once":
                    yield f"{path}: does not begin with #pragma once"
                break


def check_design_pages(tree):
    """A folder of the coordinator says which invariant it keeps."""
    for path in tree.files:
        match = re.match(r"(coordinator/[^/]+)/CMakeLists\.txt$", path)
        if match and not tree.has(match.group(1) + "/DESIGN.md"):
            yield f"{match.group(1)}: no DESIGN.md"


def check_sources_built(tree):
    """No source that no CMakeLists.txt names: it would rot unseen."""
    for path in tree.of(".cc"):
        folder = os.path.dirname(path)
        while folder and not tree.has(folder + "/CMakeLists.txt"):
            folder = os.path.dirname(folder)
        stem = os.path.relpath(path, folder or ".")
        if not re.search(r"(^|[\s/(\"])" + re.escape(stem) + r"($|[\s)\"])", tree.text(folder + "/CMakeLists.txt")):
            yield f"{path}: {folder}/CMakeLists.txt does not name it"


def check_top_level(tree):
    for top in sorted({f.split("/")[0] for f in tree.files}):
        if not top.startswith(".") and top not in rules.TOP_LEVEL:
            yield f"{top}: does not belong to the top level"


def check_links(tree):
    """Relative links in pages lead somewhere."""
    for path in tree.of(".md"):
        text = re.sub(r"```.*?```", "", tree.text(path), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:|#", target):
                continue
            full = os.path.normpath(os.path.join(os.path.dirname(path), target.split("#")[0]))
            if not os.path.exists(os.path.join(tree.root, full)):
                yield f"{path}: broken link {target}"


def check_scripts(tree):
    """Shell scripts parse and may be run."""
    for path in tree.of(".sh") + [f for f in tree.files if f == ".ci/run"]:
        full = os.path.join(tree.root, path)
        parsed = subprocess.run(["bash", "-n", full], stderr=subprocess.PIPE)
        if parsed.returncode:
            yield f"{path}: {parsed.stderr.decode().strip()}"
        if tree.text(path).startswith("#!") and not os.access(full, os.X_OK):
            yield f"{path}: not executable"
    for path in tree.of(".py"):
        try:
            compile(tree.text(path), path, "exec")
        except SyntaxError as error:
            yield f"{path}: {error}"


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


def faults_of(root, checks=None):
    tree = Tree(root)
    return [fault for check in checks or CHECKS for fault in check(tree)]


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", ".."))
    faults = faults_of(root)
    for fault in faults:
        print(fault)
    print(f"tidy: {len(Tree(root).files)} files, {len(CHECKS)} checks, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

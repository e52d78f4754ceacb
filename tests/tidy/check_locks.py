#!/usr/bin/python3
"""What is said with <assent/thread_safety.h> is true: clang looks at each source that has a lock.

    check_locks.py BUILD              the sources of BUILD/compile_commands.json. Exits 1 when clang complains, 77 without clang

What many of them include is read once: the largest set of headers that g++ has precompiled, precompiled by clang.

The preset `tidy` compiles everything with the same warnings; this is for every day.
"""

import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import check_sources

CLANG = shutil.which("clang++") or shutil.which("clang++-14")
WARNINGS = ["-Wthread-safety", "-Wthread-safety-beta", "-Werror=thread-safety", "-Werror=thread-safety-beta"]
SAYS = re.compile(r"\bMutexLock\b|\bASSENT_(GUARDED_BY|REQUIRES)\b")


def clang(arguments, folder):
    """What it says against a compilation; empty when it takes it."""
    run = subprocess.run([CLANG, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return run.stdout.decode() if run.returncode else ""


def refusal(arguments, folder="."):
    """The same, of the locks in a compilation with these arguments."""
    return clang(["-fsyntax-only", *WARNINGS, *arguments], folder)


def headers_of(entry):
    """What this compilation has precompiled; empty: nothing."""
    found = re.search(r"-include (\S*cmake_pch\.hxx)", entry["command"])
    return found[1] if found else ""


def precompile(entries, folder):
    """The largest set of headers among those of these compilations, by clang; empty: there is none."""
    sets = {headers_of(entry): entry for entry in entries}
    sets.pop("", None)
    if not sets:
        return ""
    largest = max(sets, key=os.path.getsize)
    made = os.path.join(folder, "headers.pch")
    words = ["-fpch-instantiate-templates", *arguments_of(sets[largest])[:-1]]  # the last is the source
    if said := clang([*words, "-x", "c++-header", largest, "-o", made], sets[largest]["directory"]):
        sys.exit(f"tidy: clang does not precompile {largest}: {said}")
    return made


def arguments_of(entry):
    """Of one compilation: without the compiler and what is before it, without the output and what is precompiled, and with none of g++'s
    warnings."""
    words = shlex.split(entry["command"])
    words = words[1 + next(i for i, word in enumerate(words) if re.search(r"(\+\+|clang)(-\d+)?$", word)):]
    kept = []
    while words:
        word = words.pop(0)
        if word == "-o" or (word == "-include" and "cmake_pch" in words[0]):
            words.pop(0)
        elif word not in ("-c", "-fPIC") and not word.startswith("-W"):
            kept.append(word)
    return kept


class Sources:
    def __init__(self, root, compiled):
        self.tree = check_sources.Tree(root)
        self.compiled = compiled
        self.includes = {}
        for path in self.tree.of(*check_sources.SOURCE):
            found = (check_sources.INCLUDE.match(line) for _, line in self.tree.lines(path))
            self.includes[path] = [match.group(1) for match in found if match]

    def speaks_grpc(self, path):
        """Directly, or through headers of ours."""
        seen, left = {path}, [path]
        while left:
            for include in self.includes.get(left.pop(), []):
                if re.match(r"<grpc|.*\.grpc\.pb\.h", include):
                    return True
                name = include[1:-1]
                if include[0] == '"' and name not in seen:
                    seen.add(name)
                    left.append(name)
        return False

    def to_look_at(self):
        """The sources that say something about locks; for a header its own source, or one that includes it."""
        chosen = set()
        for path in self.tree.of(*check_sources.SOURCE):
            if path == "proto/vocabulary/assent/thread_safety.h" or not SAYS.search(self.tree.text(path)):
                continue
            own = re.sub(r"\.h$", ".cc", path)
            if own in self.compiled:
                chosen.add(own)
                continue
            users = [p for p in self.compiled if f'"{path}"' in self.includes.get(p, [])]
            chosen.update(sorted(users, key=lambda p: (self.speaks_grpc(p), p))[:1])
        return sorted(chosen)


def main():
    if not CLANG:
        print("tidy: there is no clang++ (tools/install-deps.sh --tidy)")
        return 77
    build = sys.argv[1]
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    with open(os.path.join(build, "compile_commands.json")) as file:
        compiled = {os.path.relpath(entry["file"], root): entry for entry in json.load(file)}
    sources = Sources(root, compiled).to_look_at()
    with tempfile.TemporaryDirectory(prefix="assent-tidy-") as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = precompile([compiled[path] for path in sources], folder)
        given = ["-include-pch", headers] if headers else []
        faults = [fault for fault in pool.map(
            lambda path: refusal([*given, *arguments_of(compiled[path])], compiled[path]["directory"]), sources) if fault]
    for fault in faults:
        print(fault)
    print(f"tidy: {len(sources)} sources with locks, {len(faults)} faults")
    return 1 if faults or not sources else 0


if __name__ == "__main__":
    sys.exit(main())

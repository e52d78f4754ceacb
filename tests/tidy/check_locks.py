#!/usr/bin/python3
"""What is said with <assent/thread_safety.h> is true: clang looks at each source that has a lock.

    check_locks.py BUILD [--rest]     the sources of BUILD/compile_commands.json: those without gRPC outside tests/, which
                                      take a second each, or the rest. Exits 1 when clang complains, 77 without clang

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

import check_sources

CLANG = shutil.which("clang++") or shutil.which("clang++-14")
WARNINGS = ["-Wthread-safety", "-Wthread-safety-beta", "-Werror=thread-safety", "-Werror=thread-safety-beta"]
SAYS = re.compile(r"\bMutexLock\b|\bASSENT_(GUARDED_BY|REQUIRES)\b")


def refusal(arguments, folder="."):
    """What clang says against a compilation with these arguments; empty when it takes it."""
    run = subprocess.run([CLANG, "-fsyntax-only", *WARNINGS, *arguments], cwd=folder,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return run.stdout.decode() if run.returncode else ""


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
        elif word != "-c" and not word.startswith("-W"):
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

    def to_look_at(self, rest):
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
        return sorted(path for path in chosen if (path.startswith("tests/") or self.speaks_grpc(path)) == rest)


def main():
    if not CLANG:
        print("tidy: there is no clang++ (tools/install-deps.sh --tidy)")
        return 77
    build = sys.argv[1]
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    with open(os.path.join(build, "compile_commands.json")) as file:
        compiled = {os.path.relpath(entry["file"], root): entry for entry in json.load(file)}
    sources = Sources(root, compiled).to_look_at("--rest" in sys.argv)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = [fault for fault in pool.map(
            lambda path: refusal(arguments_of(compiled[path]), compiled[path]["directory"]), sources) if fault]
    for fault in faults:
        print(fault)
    print(f"tidy: {len(sources)} sources with locks, {len(faults)} faults")
    return 1 if faults or not sources else 0


if __name__ == "__main__":
    sys.exit(main())

"""Survivors that a person has judged: why nothing can notice them. tests/mutation/judged.txt, in blocks like

    coordinator/core/spec.cc: ValidateSpec
    - if (a < b) return;
    + if (a <= b) return;
    why in a sentence or two

Entries are known by their text, so that they survive what is written above them; one whose line is gone no longer applies."""

import dataclasses
import os

from mutations import mutants_of

PATH = os.path.join("tests", "mutation", "judged.txt")


@dataclasses.dataclass(frozen=True)
class Entry:
    file: str
    function: str
    before: str
    after: str
    why: str
    line: int  # in judged.txt

    @property
    def key(self):
        return (self.file, self.function, self.before, self.after)


def key_of(mutant):
    return (mutant.file, mutant.function, mutant.before, mutant.after)


def read(path):
    """(entries, faults)"""
    entries, faults = [], []
    if not os.path.exists(path):
        return entries, faults
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    block = []
    for number, line in enumerate(lines + [""], 1):
        if line.startswith("#"):
            continue
        if line.strip():
            block.append((number, line))
            continue
        if not block:
            continue
        first, head = block[0]
        texts = [text for _, text in block]
        file, _, function = head.partition(": ")
        if len(texts) < 4 or not texts[1].startswith("- ") or not texts[2].startswith("+ ") or not function:
            faults.append(f"{path}:{first}: not an entry: FILE: FUNCTION, - before, + after, why")
        else:
            entries.append(Entry(file, function, texts[1][2:], texts[2][2:], " ".join(texts[3:]), first))
        block = []
    return entries, faults


def check(root, entries):
    """Entries that no longer apply, and those that stand twice."""
    known = {}
    seen = set()
    for entry in entries:
        if entry.key in seen:
            yield entry, "stands twice"
        seen.add(entry.key)
        if entry.file not in known:
            path = os.path.join(root, entry.file)
            known[entry.file] = set()
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    known[entry.file] = {key_of(m) for m in mutants_of(entry.file, file.read())}
        if entry.key not in known[entry.file]:
            yield entry, "no longer applies: judge again, or take it out (tools/mutate.sh judged --drop)"


def drop(path, entries):
    """Takes the blocks of these entries out of the file."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for entry in sorted(entries, key=lambda e: -e.line):
        end = entry.line - 1
        while end < len(lines) and lines[end].strip():
            end += 1
        del lines[entry.line - 1:end + 1]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines).rstrip("\n") + "\n")

#!/usr/bin/python3
"""Plants bugs in copies of the coordinator's sources. Production code knows nothing of them.

    apply.py SOURCE COPY        writes SOURCE (a path from the repository's root) with its edits to COPY
    apply.py --check            each edit applies; each planted bug has one, or a switch in the simulator's own sources

An edit, in the *.edits beside this file:

    decide-early: coordinator/core/transaction.cc                        the names of its bugs, and the file
    - if (all_executed) Decide(                                          what stands there, exactly once
    + if (all_executed || Mutant(Planted::kDecideEarly)) Decide(         what stands in the copy

White space is no difference, so a text may be as short as its one place allows and survives another layout. While no bug is
switched on the copy must do what the source does: the new text asks for its switch. When code moves or changes, move or
change the edit with it; the bug is what its sentence in mutants.h says.
"""

import dataclasses
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
HEAD = re.compile(r"([a-z-]+(?:, [a-z-]+)*): (\S+)$")


class Fault(Exception):
    pass


@dataclasses.dataclass
class Edit:
    where: str  # core.edits:12
    bugs: list
    file: str
    old: str = ""
    new: str = ""

    def fault(self, what):
        return Fault(f"{self.where}: {', '.join(self.bugs)}: {self.file}: {what}")


def switch(bug):
    return "Planted::k" + "".join(word.capitalize() for word in bug.split("-"))


def parse(name, text):
    edits = []
    for number, line in enumerate(text.splitlines(), 1):
        head = HEAD.match(line)
        if head:
            edits.append(Edit(f"{name}:{number}", head[1].split(", "), head[2]))
        elif line[:1] in ("-", "+") and edits:
            what = "old" if line[0] == "-" else "new"
            setattr(edits[-1], what, getattr(edits[-1], what) + line[2:] + "\n")
        elif line.strip() and not line.startswith("#"):
            raise Fault(f"{name}:{number}: neither the head of an edit nor a line of one: {line}")
    return edits


def pattern(text):
    """Words apart stay apart; all other white space may be there or not."""
    words = re.findall(r"\w+|[^\w\s]", text)
    parts = [re.escape(words[0])]
    for before, word in zip(words, words[1:]):
        parts.append((r"\s+" if re.match(r"\w", before[-1]) and re.match(r"\w", word) else r"\s*") + re.escape(word))
    return re.compile("".join(parts))


def span(edit, text):
    for bug in edit.bugs:
        if switch(bug) not in edit.new:
            raise edit.fault(f"the new text does not ask for Mutant({switch(bug)})")
    found = list(pattern(edit.old).finditer(text)) if edit.old.strip() else []
    if len(found) != 1:
        raise edit.fault(f"the text to replace stands there {len(found)} times, not once. If the code has changed or moved, "
                         f"let the edit follow it (tools/assent-sim/planted/apply.py says how). It is:\n{edit.old}")
    return found[0].span()


def apply(file, text, edits):
    spans = sorted(((span(edit, text), edit) for edit in edits), key=lambda found: found[0], reverse=True)
    end = len(text)
    for (begin, until), edit in spans:
        if until > end:
            raise edit.fault("overlaps with another edit: make them one, with the names of both")
        text, end = text[:begin] + edit.new.rstrip("\n") + text[until:], begin
    return f'#include "tools/assent-sim/planted.h"\n#line 1 "{file}"\n{text}'


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def all_edits():
    return [edit for path in sorted(glob.glob(os.path.join(HERE, "*.edits")))
            for edit in parse(os.path.basename(path), read(path))]


def production():
    return [path for folder in ("coordinator", "participant-sdk")
            for path in glob.glob(os.path.join(ROOT, folder, "**", "*.*"), recursive=True) if path.endswith((".h", ".cc"))]


def check():
    edits, faults = all_edits(), []
    for edit in edits:
        try:
            if not os.path.exists(os.path.join(ROOT, edit.file)):
                raise edit.fault("there is no such file")
            apply(edit.file, read(edit.file), [other for other in edits if other.file == edit.file])
        except Fault as fault:
            faults.append(str(fault))
    bugs = re.findall(r'Planted::k\w+,\s*"([a-z-]+)"', read("tools", "assent-sim", "mutants.h"))
    edited = {bug for edit in edits for bug in edit.bugs}
    own = "".join(read(path) for path in glob.glob(os.path.join(ROOT, "tools", "assent-sim", "*.cc")))
    faults += [f"{bug}: has an edit, and no sentence in tools/assent-sim/mutants.h" for bug in edited - set(bugs)]
    faults += [f"{bug}: has neither an edit nor a switch in the simulator's own sources: nothing plants it"
               for bug in bugs if bug not in edited and f"Mutant({switch(bug)})" not in own]
    faults += [f"{path}: a switch in production code: make it an edit" for path in production()
               if "Mutant(" in read(path)]
    for fault in dict.fromkeys(faults):
        print(fault)
    print(f"{len(edits)} edits, {len(bugs)} planted bugs: {len(set(faults))} faults")
    return 1 if faults else 0


def main(arguments):
    if arguments == ["--check"]:
        return check()
    source, copy = arguments
    try:
        text = apply(source, read(source), [edit for edit in all_edits() if edit.file == source])
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with open(copy, "w", encoding="utf-8") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

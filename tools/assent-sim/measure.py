#!/usr/bin/python3
"""The figures of docs/measured/simulation.md.

    measure.py BIN [--schedules 1000000] [--full 20000] [--several 500000]
                                                           runs everything and writes the tables into the page
    measure.py BIN --keep DIR                              keeps what was printed in DIR, and does not run again what is there
    measure.py --check                                     nothing is missing: each planted bug and each mark has a line
"""

import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "measured", "simulation.md")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def run(keep, bin_dir, *arguments):
    command = ["assent-sim", *arguments, "--json"]
    kept = os.path.join(keep, "-".join(arguments).replace("--", "") + ".json") if keep else ""
    if os.path.exists(kept):
        with open(kept, encoding="utf-8") as file:
            found = json.load(file)
        return " ".join(command), found["exit"], found
    done = subprocess.run([os.path.join(bin_dir, command[0]), *command[1:]], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    found = json.loads(done.stdout) | {"exit": done.returncode}
    print(" ".join(command), "-> exit", done.returncode, file=sys.stderr)
    if keep:
        with open(kept, "w", encoding="utf-8") as file:
            json.dump(found, file)
    return " ".join(command), done.returncode, found


def number(value):
    return f"{round(value):,}"


def campaign_line(command, status, found):
    return (f"| `{command}` | {number(found['schedules'])} schedules, {number(found['events'])} events, "
            f"{number(found['repeated'])} run twice and compared: **{found['violations']} violations**, "
            f"{len(found['marks_missed'])} marks missed, exit {status} | {found['seconds']:.0f} s on {found['threads']} threads "
            f"of a shared machine, {number(found['schedules_per_second'])} a second; "
            f"{number(found['schedules'] / found['cpu_seconds'])} a second of processor time |")


def measured(lite, full, exhaustive, mutants):
    lines = ["| command | what | how long |", "|---|---|---|", campaign_line(*lite), campaign_line(*full)]
    command, status, found = exhaustive
    lines.append(
        f"| `{command}` | {number(found['scenarios'])} scenarios: {number(found['points'])} single deaths, "
        f"{number(found['pairs'])} pairs, {number(found['interleavings'])} orders of messages: "
        f"**{found['violations']} violations**, {found['incomplete']} scenarios cut off, exit {status} | "
        f"{found['seconds']:.0f} s on 2 threads of a shared machine; {found['cpu_seconds']:.0f} s of processor time |")
    command, status, found = mutants
    lines.append(f"| `{command}` | {found['mutants']} planted bugs, **{found['caught']} caught**; canary caught: "
                 f"{'yes' if found['canary_caught'] else 'NO'}; without a bug clean: "
                 f"{'yes' if found['control_clean'] else 'NO'}; exit {status} | |")
    lines += ["", "Orders of messages, with at most one loss, one duplicate and one death of the coordinator. Orders that "
              "differ only in what different processes notice are one order.", "",
              "| world | walked to the end | given up as equal to one of these | complete | misfortunes in one walk | timers that "
              "fire while messages are under way |", "|---|---|---|---|---|---|"]
    for name, count in exhaustive[2]["orders"].items():
        early = "one" if count["early_timers"] else "none but a restart"
        lines.append(f"| {name} | {number(count['walked'])} | {number(count['redundant'])} | "
                     f"{'yes' if count['complete'] else '**no**, cut off'} | {'all three' if count['misfortunes'] == 3 else 'any two'} | "
                     f"{early} |")
    lines += ["", "Marks: in how many of the schedules of each form a rare path was walked.", "",
              "| mark | lite | full |", "|---|---|---|"]
    for mark, count in lite[2]["marks"].items():
        lines.append(f"| {mark.split(': ', 1)[1]} | {number(count)} | {number(full[2]['marks'][mark])} |")
    return "\n".join(lines)


# What only a log of one owner can suffer is left out of these schedules: its marks are not missed.
def several(runs):
    lines = ["| command | what | how long |", "|---|---|---|"]
    marks = list(runs[0][2]["marks"])
    first = next(i for i, mark in enumerate(marks) if mark.startswith("kTakenOver:"))
    for command, status, found in runs:
        own = found | {"marks_missed": [mark for mark in found["marks_missed"] if mark in marks[first:]]}
        lines.append(campaign_line(command, status, own))
    lines += ["", "| mark of several coordinators | " + " | ".join(f"{found['coordinators']} coordinators" for _, _, found in runs) + " |",
              "|---|" + "---|" * len(runs)]
    for mark in marks[first:]:
        lines.append(f"| {mark.split(': ', 1)[1]} | " + " | ".join(number(found["marks"][mark]) for _, _, found in runs) + " |")
    return "\n".join(lines)


def planted(found):
    lines = ["| planted bug | what it does | random | exhaustive | first noticed as |", "|---|---|---|---|---|"]
    for row in found["table"]:
        by = re.sub(r" by t\d+b?(?=:)", "", row["found_by"])
        by = by if len(by) <= 90 else by[:87] + "..."
        alone = "; by nothing else" if row.get("found_without_business_checks") is False else ""
        lines.append(f"| `{row['mutant']}` | {row['says']} | {number(row['random_schedules']) if row['random'] else '-'} | "
                     f"{number(row['exhaustive_runs']) if row['exhaustive'] else '-'} | {by}{alone} |")
    return "\n".join(lines)


def put(page, name, text):
    return re.sub(rf"(<!-- {name}: written by tools/assent-sim/measure.py -->\n).*?(<!-- end -->)",
                  lambda match: match.group(1) + text + "\n" + match.group(2), page, flags=re.S)


def check():
    page = read(PAGE)
    faults = [f"a figure is missing: {hole}" for hole in re.findall(r"@[A-Z_]+@", page)]
    for name in re.findall(r'Planted::k\w+, "([a-z-]+)"', read("tools", "assent-sim", "mutants.h")):
        if f"| `{name}` |" not in page:
            faults.append(f"the planted bug {name} has no line")
    for text in re.findall(r'^  X\(k\w+, "([^"]+)"\)', read("tools", "assent-sim", "marks.h"), flags=re.M):
        if f"| {text} |" not in page:
            faults.append(f"the mark \"{text}\" has no line")
    for fault in faults:
        print(fault)
    print(f"docs/measured/simulation.md: {len(faults)} faults")
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", nargs="?")
    parser.add_argument("--schedules", default="1000000")
    parser.add_argument("--full", default="20000")
    parser.add_argument("--several", default="500000")
    parser.add_argument("--keep")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check or not arguments.bin:
        return check()
    lite = run(arguments.keep, arguments.bin, "random", "--schedules", arguments.schedules)
    full = run(arguments.keep, arguments.bin, "random", "--full", "--schedules", arguments.full)
    shared = [run(arguments.keep, arguments.bin, "random", "--coordinators", count, "--schedules", arguments.several) for count in ("2", "3")]
    exhaustive = run(arguments.keep, arguments.bin, "exhaustive")
    mutants = run(arguments.keep, arguments.bin, "mutants")
    page = put(read(PAGE), "measured", measured(lite, full, exhaustive, mutants))
    page = put(page, "several", several(shared))
    page = put(page, "planted", planted(mutants[2]))
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)
    return max(status for _, status, _ in (lite, full, *shared, exhaustive, mutants))


if __name__ == "__main__":
    sys.exit(main())

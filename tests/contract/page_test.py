#!/usr/bin/python3
"""The tables of rules in docs/contract.md are those that `assent-contract --list` prints.

    page_test.py BIN PAGE [--write]
"""

import json
import os
import re
import subprocess
import sys

BIN, PAGE = sys.argv[1:3]


def table(who):
    """The rows, as the page has to have them."""
    argv = [os.path.join(BIN, "assent-contract"), who, "--list", "--json"]
    listed = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    return "".join(f"| `{rule['rule']}` | {rule['needs']} | {rule['sentence']} |\n" for rule in listed)


def main():
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    wanted = page
    for who in ("participant", "initiator"):
        pattern = rf"(<!-- rules: {who} -->\n\|[^\n]*\n\|[-|]*\n)((?:\|[^\n]*\n)*)"
        if not re.search(pattern, wanted):
            print(f"{PAGE}: no table of the rules of {who}s")
            return 1
        wanted = re.sub(pattern, lambda match, rows=table(who): match[1] + rows, wanted)
    if "--write" in sys.argv:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(wanted)
    elif wanted != page:
        print(f"{PAGE}: not the rules of --list; page_test.py BIN PAGE --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

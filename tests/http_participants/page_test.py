#!/usr/bin/python3
"""docs/http-participants.md shows the examples as they are.

    page_test.py [--write]
"""

import os
import re
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PAGE = os.path.join(ROOT, "docs/http-participants.md")
SHOWN = {"flask": ("python", "examples/http/flask/participant.py"), "express": ("js", "examples/http/express/participant.mjs")}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    page = wanted = read(PAGE)
    for name, (language, path) in SHOWN.items():
        text = f"<!-- {name} -->\n```{language}\n{read(os.path.join(ROOT, path))}```\n"
        wanted, count = re.subn(rf"<!-- {name} -->\n```{language}\n.*?```\n", lambda _, text=text: text, wanted, flags=re.S)
        if count != 1:
            sys.exit(f"{PAGE}: shows no {name}")
    if "--write" in sys.argv:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(wanted)
    elif page != wanted:
        sys.exit(f"{PAGE}: not the examples as they are; page_test.py --write")


if __name__ == "__main__":
    main()

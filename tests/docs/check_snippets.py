"""What the pages show is what the tests compile.

A page quotes a snippet like this:

    <!-- snippet: submit from tests/docs/sdk_snippets_test.cc -->
    ```cpp
    ...
    ```

and the source has the same lines between "// snippet: submit" and "// end". `--write` puts the source's lines into the
pages.
"""

import os
import re
import sys

ROOT = os.environ.get("ASSENT_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUOTE = re.compile(r"<!-- snippet: (?P<name>[\w-]+) from (?P<source>\S+) -->\n```cpp\n(?P<text>.*?)```\n", re.S)


def snippets_of(source):
    """{name: text} of one source file."""
    with open(os.path.join(ROOT, source), encoding="utf-8") as file:
        text = file.read()
    return {m["name"]: m["text"] for m in re.finditer(r"// snippet: (?P<name>[\w-]+)\n(?P<text>.*?)// end\n", text, re.S)}


def main():
    write = "--write" in sys.argv[1:]
    faults, quoted, sources = [], {}, {}
    docs = os.path.join(ROOT, "docs")
    for page in sorted(p for p in os.listdir(docs) if p.endswith(".md")):
        path = os.path.join(docs, page)
        with open(path, encoding="utf-8") as file:
            text = file.read()

        def replace(match):
            name, source = match["name"], match["source"]
            known = sources.setdefault(source, snippets_of(source))
            quoted.setdefault(source, set()).add(name)
            if name not in known:
                faults.append(f"docs/{page}: {source} has no snippet {name}")
                return match[0]
            if match["text"] != known[name] and not write:
                faults.append(f"docs/{page}: snippet {name} is not what {source} has; run tests/docs/check_snippets.py --write")
            return f"<!-- snippet: {name} from {source} -->\n```cpp\n{known[name]}```\n"

        new = QUOTE.sub(replace, text)
        if write and new != text:
            with open(path, "w", encoding="utf-8") as file:
                file.write(new)
    for source, known in sources.items():
        faults += [f"{source}: no page quotes snippet {name}" for name in sorted(set(known) - quoted[source])]
    if not quoted:
        faults.append("no page quotes any snippet: is this the right folder?")
    for fault in faults:
        print(fault)
    print(f"snippets: {sum(len(names) for names in quoted.values())} quoted, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

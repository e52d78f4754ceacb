#!/usr/bin/env python3
"""The SQL of coordinator/log/postgresql keeps to the words that stores of PostgreSQL's kind have in common.

    check_postgresql_sql.py FOLDER LEAST  reads every string of its sources but for those of SQLite; names the file and what is out of place, and fails if
                                          it finds fewer statements than that
    check_postgresql_sql.py --self-test

Not among them, and why: advisory locks and LISTEN are lost with a session, and poolers change sessions; triggers and plpgsql, COPY, temporary
tables, sequences and deferrable constraints are missing somewhere; the server's time, its transaction numbers and snapshots are nobody's business
but its own. What is PostgreSQL's alone and only a convenience, because it may fail, is listed with the file that may say it.
"""

import pathlib
import re
import sys

REFUSED = {
    r"\bpg_(try_)?advisory\w*": "an advisory lock", r"\b(UN)?LISTEN\b": "LISTEN", r"\bNOTIFY\b": "NOTIFY",
    r"\btxid_\w+|\bpg_current_xact\w*|\bpg_xact\w*|\bxmin\b|\bxmax\b|\bctid\b": "transaction numbers",
    r"\bCREATE\s+(OR\s+REPLACE\s+)?(FUNCTION|TRIGGER|PROCEDURE)\b|\bplpgsql\b|\bDO\s+\$": "code in the server",
    r"\bDEFERRABLE\b": "a deferrable constraint", r"\bCOPY\b": "COPY", r"\bTEMP(ORARY)?\b": "a temporary table",
    r"\bnow\s*\(\)|\bcurrent_(timestamp|date|time)\b|\bclock_timestamp\b|\bstatement_timestamp\b|\bpg_sleep\b": "the server's time",
    r"\bnextval\b|\bSEQUENCE\b|\b(big|small)?serial\s+PRIMARY|\bGENERATED\b": "a sequence",
    r"\bSKIP\s+LOCKED\b|\bNOWAIT\b": "a way to wait for locks", r"\bON\s+CONFLICT\b|\bMERGE\s+INTO\b": "an upsert",
    r"\brandom\s*\(\)": "randomness of the server", r"\bSERIALIZABLE\b|\bREPEATABLE\s+READ\b": "another isolation",
}
# PostgreSQL's alone: in these files only.
CONVENIENCES = {
    r"\bpg_settings\b": {"connect.cc"}, r"\bpg_terminate_backend\b": {"lane.cc", "member_store.cc"},
    r"\bpg_control_\w+|\bpg_walfile_name\b|\bpg_current_wal_\w+": {"member_store.cc", "origin.cc"},
    r"\bpg_(?!settings|terminate_backend|backend_pid|control_|walfile_name|current_wal_)\w+\s*\(": set(),
}
IS_SQL = re.compile(r"\b(LISTEN|NOTIFY|COPY|SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|SET|BEGIN|COMMIT|WITH|FROM|WHERE|pg_\w+)\b")


def strings(source):
    """Its string literals, neighbours joined as the compiler does; comments are none."""
    source = re.sub(r'R"(\w*)\((.*?)\)\1"', lambda m: '"' + m.group(2).replace('"', "'").replace("\n", " ") + '"', source, flags=re.S)
    tokens = re.finditer(r'//[^\n]*|/\*.*?\*/|"((?:\\.|[^"\\])*)"|\'(?:\\.|[^\'\\])\'|[^\s"\'/]+|/|\'', source, flags=re.S)
    joined, open_string = [], False
    for token in tokens:
        if token.group(0).startswith(("//", "/*")):
            continue
        if token.group(1) is not None:
            joined.append(token.group(1)) if not open_string else joined.append(joined.pop() + token.group(1))
            open_string = True
        else:
            open_string = False
    return joined


def faults(name, source):
    for text in strings(source):
        if not IS_SQL.search(text):
            continue
        for pattern, what in REFUSED.items():
            if re.search(pattern, text, flags=re.I):
                yield f"{name}: {what}: {text[:160]}"
        for pattern, files in CONVENIENCES.items():
            found = re.search(pattern, text)
            if found and name not in files:
                yield f"{name}: {found.group(0)} is PostgreSQL's alone: {text[:160]}"


def self_test():
    bad = ['"SELECT pg_advisory_lock(1)"', '"LISTEN " "slots"', '"SELECT now()"', '"CREATE TEMP TABLE a (n int)"',
           '"INSERT INTO a VALUES (1)" // first\n " ON CONFLICT DO NOTHING"', 'R"sql(CREATE\nTRIGGER a)sql"',
           '"SELECT pg_terminate_backend(1)"', '"SELECT pg_size_pretty(1) FROM a"']
    for source in bad:
        assert list(faults("other.cc", source)), source
    good = ['// "SELECT now()"\n', '"a word now() that is no statement"', '"SELECT pg_backend_pid()"', '"WITH w AS (SELECT 1) SELECT * FROM w"']
    for source in good:
        assert not list(faults("other.cc", source)), source


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    folder = pathlib.Path(sys.argv[1])
    sources = [path for path in sorted(folder.iterdir()) if path.suffix in (".h", ".cc") and not path.name.startswith("sqlite_")]
    statements = sum(1 for path in sources for text in strings(path.read_text(encoding="utf-8")) if IS_SQL.search(text))
    found = [fault for path in sources for fault in faults(path.name, path.read_text(encoding="utf-8"))]
    print("\n".join(found))
    print(f"{statements} texts of SQL in {len(sources)} files, {len(found)} faults")
    return 1 if found or statements < int(sys.argv[2]) else 0


if __name__ == "__main__":
    sys.exit(main())

"""In what the databases differ, and the words with which a transaction is ended.

The words are looked for, no SQL is parsed: what is not seen here (a procedure that commits, a call of the driver's) is found by the barrier's
row, which is committed then without a state."""

import dataclasses
import functools
import re
from typing import Iterator

_ENDS = r"BEGIN|START\s+TRANSACTION|COMMIT|END|ABORT|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)|PREPARE\s+TRANSACTION|XA"
_REMEMBERED_TEXT = 4096  # characters


@dataclasses.dataclass(frozen=True)
class Dialect:
    mark: str  # the driver's placeholder
    on_conflict: str  # of an INSERT that counts 1 row if there was none
    for_update: str
    comments: str
    quoted: str
    ends: str = _ENDS
    several: bool = True  # statements in one text
    bodies: bool = False  # CREATE FUNCTION … BEGIN ATOMIC …; END

    def ending(self, sql: str) -> str:
        """The words that end a transaction, or begin one; "": there are none."""
        return _ending(self, sql) if len(sql) <= _REMEMBERED_TEXT else _look(self, sql)


SQLITE = Dialect("?", " ON CONFLICT(gid, branch_id) DO NOTHING", "", r"--[^\n]*|/\*.*?(?:\*/|\Z)",
                 r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]", several=False)
POSTGRESQL = Dialect("%s", " ON CONFLICT(gid, branch_id) DO NOTHING", " FOR UPDATE", r"--[^\n]*|/\*.*?(?:\*/|\Z)|\*/",
                     r"(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?<!\w)\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$",
                     bodies=True)
# A row that was there counts 2, whatever the connection's flags say about rows that stay as they are. /*! … */ is no comment there.
MYSQL = Dialect("%s", " ON DUPLICATE KEY UPDATE touched_ms = touched_ms + 1", " FOR UPDATE",
                r"/\*(?!M?!).*?(?:\*/|\Z)|/\*M?!\d*|\*/|#[^\n]*|--(?=\s|\Z)[^\n]*",
                r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`[^`]*`",
                _ENDS + r"|SET\b.*\bAUTOCOMMIT|(?:UN)?LOCK\s+TABLES?")


@functools.lru_cache(maxsize=512)
def _ending(dialect: Dialect, sql: str) -> str:
    return _look(dialect, sql)


def _look(dialect: Dialect, sql: str) -> str:
    plain = _tokens(f"({dialect.quoted})|{dialect.comments}").sub(lambda token: "''" if token[1] else " ", sql)
    for statement in _joined(plain.split(";")) if dialect.bodies else plain.split(";"):
        found = _ends_of(dialect.ends).match(statement)
        if found:
            return " ".join(found[1].upper().split())
        if statement.strip() and not dialect.several:
            break  # what follows is of a trigger, or an error
    return ""


_BODY = re.compile(r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b.*?\bBEGIN\s+ATOMIC\b(.*)", re.IGNORECASE | re.DOTALL)


def _joined(parts: "list[str]") -> Iterator[str]:
    """Statements: what is in the body of one is carried out when it is called."""
    statement = ""
    for part in parts:
        statement += part
        body = _BODY.match(statement)
        words = re.findall(r"\b(?:CASE|END)\b", body[1].upper()) if body else ["END"]
        if 1 + words.count("CASE") > words.count("END"):
            statement += ";"
            continue
        yield statement
        statement = ""


@functools.lru_cache(maxsize=None)
def _tokens(text: str) -> "re.Pattern[str]":
    return re.compile(text, re.DOTALL)


@functools.lru_cache(maxsize=None)
def _ends_of(words: str) -> "re.Pattern[str]":
    return re.compile(rf"\s*({words})\b", re.IGNORECASE | re.DOTALL)

"""Mutants of a source file: one small mistake each, of the kinds that people make."""

import dataclasses
import re

from tokens import CLOSE, OPEN, Source

KINDS = ("relational", "boolean", "operand", "negation", "condition", "ternary", "arithmetic", "constant", "statement", "return",
         "loop", "swap")

RELATIONAL = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
BOOLEAN = {"&&": "||", "||": "&&"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "*", "|": "&", "&": "|", "+=": "-=", "-=": "+=", "++": "--",
              "--": "++", "|=": "&=", "&=": "|="}

# A statement that begins with one of these is a declaration, or a mutation of its own.
NOT_DELETED = set("""if for while do switch case default return break continue goto throw try catch else const constexpr auto
  static using struct class enum union friend public private protected namespace template typedef typename operator extern
  inline mutable virtual explicit unsigned signed int bool char long short double float void co_return co_await delete new
  static_assert ASSENT_CHECK spdlog""".split())

# Whose arguments may stand in any order, and what only makes room.
SYMMETRIC = ("min", "max", "swap")
ROOM_ONLY = ("reserve", "Reserve", "shrink_to_fit")

# Between these stand the operands of && and ||.
OPERAND_ENDS = set("&& || ? : , ; = return".split())


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    function: str
    kind: str
    line: int
    begin: int  # what is replaced
    end: int
    put: str
    before: str  # the lines that change, blanks squeezed: what a person reads, and what the mutant is known by
    after: str
    nth: int  # among those with the same text in the same function

    @property
    def key(self):
        return (self.file, self.function, self.kind, self.before, self.after, self.nth)

    def apply(self, text):
        return text[:self.begin] + self.put + text[self.end:]


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


class _Finder:
    def __init__(self, file, text):
        self.file = file
        self.source = Source(text)
        self.found = []
        self.seen = {}

    def add(self, kind, begin, end, put):
        text, source = self.source.text, self.source
        put += "\n" * (text.count("\n", begin, end) - put.count("\n"))  # later lines keep their numbers
        first = text.rfind("\n", 0, begin) + 1
        last = text.find("\n", end)
        last = len(text) if last < 0 else last
        before = squeezed(text[first:last])
        after = squeezed(text[first:begin] + put + text[end:last])
        function = next((t.function for t in source.tokens if t.at >= begin), "")
        same = (function, kind, before, after)
        self.seen[same] = self.seen.get(same, 0) + 1
        self.found.append(Mutant(self.file, function, kind, source.line(begin), begin, end, put, before, after,
                                 self.seen[same]))

    def replace(self, kind, index, put):
        token = self.source.tokens[index]
        self.add(kind, token.at, token.end, put)

    def run(self):
        source = self.source
        for i, token in enumerate(source.tokens):
            if token.skipped:
                continue
            if token.kind == "sign":
                self.sign(i, token)
            elif token.kind == "number":
                self.number(i, token)
            elif token.text in ("true", "false"):
                self.replace("constant", i, "false" if token.text == "true" else "true")
            elif token.text == "if" and token.function:
                self.condition(i)
            if token.function and self.begins_statement(i):
                self.statement(i)
        return self.found

    # ---- operators and constants

    def sign(self, i, token):
        source = self.source
        if source.word(i - 1) == "operator":
            return
        binary = source.spaced(i)
        text_beside = "string" in (source.tokens[i - 1].kind if i else "", source.tokens[i + 1].kind
                                   if i + 1 < len(source.tokens) else "")
        if token.text in RELATIONAL and binary:
            self.replace("relational", i, RELATIONAL[token.text])
        elif token.text in BOOLEAN and binary:
            self.replace("boolean", i, BOOLEAN[token.text])
            self.operands(i)
        elif token.text in ARITHMETIC and (binary or token.text in ("++", "--")) and not text_beside:
            self.replace("arithmetic", i, ARITHMETIC[token.text])
        elif token.text == "!" and source.word(i + 1) != "=":
            self.replace("negation", i, "")
        elif token.text == "?" and token.function:
            self.ternary(i)
        elif token.text in "({" and token.partner > 0:
            self.swaps(i, token)

    def number(self, i, token):
        if self.source.word(i - 1) == "=" and self.source.word(i + 1) == ";" and not token.function and token.text == "0":
            return  # pure virtual, or a member's first value: the constructor's tests are for others
        match = re.fullmatch(r"(0[xX][0-9a-fA-F']+|\d[\d']*)([a-zA-Z]*)", token.text)
        if match:
            value = int(match.group(1).replace("'", ""), 0 if match.group(1)[:2] in ("0x", "0X") else 10)
            self.replace("constant", i, str(0 if value == 1 else value + 1) + match.group(2))

    # ---- conditions

    def operands(self, i):
        """One part of a condition is forgotten: what is right of the operator, and left of the first of a chain."""
        source, here = self.source, self.source.tokens[i].inside
        beside = [j for j, t in enumerate(source.tokens) if t.inside == here and t.partner != here]
        at = beside.index(i)
        right = at + 1
        while right < len(beside) and source.word(beside[right]) not in OPERAND_ENDS:
            right += 1
        last = beside[right] - 1 if right < len(beside) else source.tokens[here].partner - 1
        left = at - 1
        while left >= 0 and source.word(beside[left]) not in OPERAND_ENDS:
            left -= 1
        first = (beside[left] if left >= 0 else here) + 1
        tokens = source.tokens
        if any(t.skipped for t in tokens[first:last + 1]):
            return
        self.add("operand", tokens[i - 1].end, tokens[last].end, "")
        if source.word(first - 1) not in BOOLEAN:
            self.add("operand", tokens[first].at, tokens[i + 1].at, "")

    def condition(self, i):
        source = self.source
        opened = i + 1 + (source.word(i + 1) == "constexpr")
        if source.word(i + 1) == "constexpr" or source.word(opened) != "(":
            return
        closed = source.tokens[opened].partner
        begin = opened + 1
        for j in range(opened + 1, closed):
            if source.tokens[j].inside == opened and source.word(j) == ";":
                begin = j + 1
        inside = source.tokens[begin:closed]
        if not inside or any(t.text == "=" and t.inside == opened for t in inside) or all(t.skipped for t in inside):
            return
        words = [t.text for t in inside]
        if not set(words) & set(BOOLEAN) and (words[0] == "!" or words.count("==") + words.count("!=") == 1):
            return  # the operator's own mutant is the same
        begin_at, end_at = inside[0].at, inside[-1].end
        self.add("condition", begin_at, end_at, "!(" + source.text[begin_at:end_at] + ")")

    def ternary(self, i):
        source = self.source
        here = source.tokens[i].inside
        beside = [j for j in range(i + 1, len(source.tokens)) if source.tokens[j].inside == here]
        nested, colon, end = 0, None, None
        for j in beside:
            word = source.word(j)
            if word == "?":
                nested += 1
            elif word == ":" and nested:
                nested -= 1
            elif word == ":" and colon is None:
                colon = j
            elif word in (";", ",") or (word in CLOSE and source.tokens[j].partner < i):
                end = j
                break
        limit = source.tokens[here].partner if here >= 0 else len(source.tokens)
        end = limit if end is None or end > limit else end
        if colon is None or not i + 1 < colon < end - 1:
            return
        text = source.text
        yes = text[source.tokens[i + 1].at:source.tokens[colon - 1].end]
        no = text[source.tokens[colon + 1].at:source.tokens[end - 1].end]
        if squeezed(yes) != squeezed(no):
            self.add("ternary", source.tokens[i + 1].at, source.tokens[end - 1].end, no + " : " + yes)

    # ---- statements

    def begins_statement(self, i):
        source, token = self.source, self.source.tokens[i]
        if token.inside < 0 or source.word(token.inside) != "{":
            return False
        before = source.word(i - 1)
        if before in (";", "{", "}", "else", "do"):
            return True
        if before == ")":
            keyword = source.tokens[i - 1].partner - 1
            keyword -= source.word(keyword) == "constexpr"
            return source.word(keyword) in ("if", "for", "while")
        return before == ":" and source.word(i - 2) != ":" and self.after_label(i - 1)

    def after_label(self, colon):
        for j in range(colon - 1, max(colon - 12, 0), -1):
            if self.source.word(j) in ("case", "default"):
                return True
            if self.source.word(j) in (";", "{", "}", "?"):
                return False
        return False

    def statement(self, i):
        source = self.source
        end = self.end_of(i)
        if end is None:
            return
        begin_at, end_at = source.tokens[i].at, source.tokens[end].end
        first = source.word(i)
        unbraced = source.word(i - 1) in (")", "else", "do", ":")
        if first == "return":
            # The last statement of a function has nothing to fall through to.
            if unbraced or source.word(source.tokens[i].inside - 1) in (")", "else"):
                if not self.is_last_of_function(i, end):
                    self.add("return", begin_at, end_at, "{}")
        elif first in ("break", "continue"):
            self.add("loop", begin_at, end_at, "{}" if first == "break" else "break;")
        elif self.is_expression(i, end):
            self.add("statement", begin_at, end_at, "{}")

    def is_last_of_function(self, i, end):
        source = self.source
        block = source.tokens[i].inside
        outer = source.tokens[block].inside
        return source.word(end + 1) == "}" and (outer < 0 or not source.tokens[block].function)

    def end_of(self, i):
        source = self.source
        here, j = source.tokens[i].inside, i
        while j < len(source.tokens):
            token = source.tokens[j]
            if token.text == ";" and token.inside == here:
                return j
            if token.kind == "sign" and token.text in OPEN and token.partner > 0:
                j = token.partner
            elif token.text == "}":
                return None
            j += 1
        return None

    def is_expression(self, i, end):
        """A call, an assignment or a step; not a declaration."""
        source = self.source
        first = source.tokens[i]
        if first.skipped or first.text in NOT_DELETED:
            return False
        if source.word(end - 1) == ")" and source.word(source.tokens[end - 1].partner - 1) in ROOM_ONLY:
            return False
        if first.text in ("++", "--", "*"):
            return True
        if first.kind != "word":
            return False
        j = i + 1
        while j < end:
            word, token = source.word(j), source.tokens[j]
            if word == "<" and not source.text[token.at - 1].isspace():
                while j < end and source.word(j) != ">":
                    j += 1
            elif word == "::" or (token.kind == "word" and source.word(j - 1) in ("::", ".", "->")):
                pass
            else:
                break
            j += 1
        return source.word(j) in ("(", ".", "->", "[", "=", "+=", "-=", "|=", "&=", "++", "--")

    # ---- arguments

    def swaps(self, i, token):
        """Neighbours in a list of arguments that look alike: two names, two members, two numbers."""
        source = self.source
        if token.text == "(" and source.word(i - 1) in ("if", "for", "while", "switch", "catch") + SYMMETRIC:
            return
        arguments, begin = [], i + 1
        for j in range(i + 1, token.partner + 1):
            if j == token.partner or (source.word(j) == "," and source.tokens[j].inside == i):
                arguments.append((begin, j))
                begin = j + 1
            elif source.word(j) == ";" and source.tokens[j].inside == i:
                return
        shapes = [self.shape(*a) for a in arguments]
        for (a, b), left, right in zip(zip(arguments, arguments[1:]), shapes, shapes[1:]):
            if left and left == right:
                one = source.text[source.tokens[a[0]].at:source.tokens[a[1] - 1].end]
                two = source.text[source.tokens[b[0]].at:source.tokens[b[1] - 1].end]
                if one != two:
                    self.add("swap", source.tokens[a[0]].at, source.tokens[b[1] - 1].end, two + ", " + one)

    def shape(self, begin, end):
        """What an argument looks like; nothing for what is more than a name, a member, a simple call or a number."""
        tokens = self.source.tokens[begin:end]
        if not tokens or any(t.skipped for t in tokens):
            return ""
        kinds = "".join({"word": "w", "number": "n"}.get(t.kind, t.text) for t in tokens)
        if re.fullmatch(r"w(?:(?:\.|->|::)w|\(\)|\[[wn]\])*", kinds):
            return "name"
        if re.fullmatch(r"w(?:(?:\.|->|::)w)*\(w(?:\.w)*\)", kinds):
            return "call"
        return "number" if kinds == "n" else ""


def mutants_of(file, text):
    """Every mutant of a file, in the order of its text."""
    return sorted(_Finder(file, text).run(), key=lambda m: (m.begin, m.end, m.kind))

"""C++ as tokens: enough of it to find operators, constants, conditions and statements, and to know in which function
they are. It does not parse; what it takes wrongly does not compile, and is not counted."""

import bisect
import dataclasses
import re

TOKEN = re.compile(r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<string>  (?:u8|[uUL])?R"(?P<delimiter>[^\s()\\]*)\(.*?\)(?P=delimiter)"
               | (?:u8|[uUL])?"(?:\\.|[^"\\\n])*" | (?:[uUL])?'(?:\\.|[^'\\\n])+' )
  | (?P<directive> ^[ \t]*\#(?:\\\n|[^\n])* )
  | (?P<number>  (?:0[xX][0-9a-fA-F']+ | \d[\d']*(?:\.\d+)?(?:[eE][-+]?\d+)?) [a-zA-Z]* )
  | (?P<word>    [A-Za-z_]\w* )
  | (?P<sign>    <=> | ->\* | \.\.\. | :: | -> | \+\+ | -- | << | <= | >= | == | != | && | \|\| | [-+*/%&|^]= | [^\s\w] )
""", re.X | re.S | re.M)

OPEN, CLOSE = "([{", ")]}"

# Not code that could be wrong on any day: checks of our own mistakes, what is known when compiling, log lines.
SKIPPED_CALLS = ("static_assert", "ASSENT_CHECK", "alignas", "sizeof", "decltype", "spdlog")


@dataclasses.dataclass
class Token:
    kind: str
    text: str
    at: int  # offset in the file
    partner: int = -1  # of a bracket: the index of the other one
    inside: int = -1  # the index of the innermost open bracket
    skipped: bool = False
    function: str = ""

    @property
    def end(self):
        return self.at + len(self.text)


class Source:
    """A file's tokens, comments and directives left out, each with its brackets and its function."""

    def __init__(self, text):
        self.text = text
        self.tokens = [Token(m.lastgroup if m.lastgroup != "delimiter" else "string", m.group(), m.start())
                       for m in TOKEN.finditer(text)]
        self.tokens = [t for t in self.tokens if t.kind not in ("comment", "directive")]
        self._starts = [0] + [i + 1 for i, c in enumerate(text) if c == "\n"]
        self._match()
        self._skip()
        self._name()

    def line(self, offset):
        return bisect.bisect_right(self._starts, offset)

    def word(self, index):
        """The text of a token, empty beyond either end."""
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def spaced(self, index):
        """A binary operator, in the layout of clang-format: blanks on both sides. `T&&` and `vector<T>` have none."""
        token = self.tokens[index]
        return self.text[token.at - 1:token.at].isspace() and self.text[token.end:token.end + 1].isspace()

    def _match(self):
        stack = []
        for i, token in enumerate(self.tokens):
            if token.kind == "sign" and token.text in CLOSE and stack:
                opened = stack.pop()
                token.partner, self.tokens[opened].partner = opened, i
            token.inside = stack[-1] if stack else -1
            if token.kind == "sign" and token.text in OPEN:
                stack.append(i)

    def _skip(self):
        for i, token in enumerate(self.tokens):
            if token.text == "spdlog" or (token.text in SKIPPED_CALLS and self.word(i + 1) == "("):
                opened = next((j for j in range(i, min(i + 5, len(self.tokens))) if self.word(j) == "("), i)
                last = max(self.tokens[opened].partner, i)
                for j in range(i, last + 1):
                    self.tokens[j].skipped = True
            if token.text == "[" and self.word(i + 1) == "[":
                for j in range(i, max(token.partner, i) + 1):
                    self.tokens[j].skipped = True

    def _name(self):
        """The function of each token. A brace opens a class, a function, or something in one."""
        scopes = []  # (index of the closing brace, name, is a function)
        last = ""
        header = 0  # where the declaration before a brace begins
        for i, token in enumerate(self.tokens):
            while scopes and i > scopes[-1][0]:
                scopes.pop()
            function = next((name for _, name, is_function in scopes if is_function), "")
            token.function = function
            if token.text == "{" and not function:
                name, is_function = self._declared(header, i)
                if is_function and not name:
                    name = last
                classes = [n for _, n, f in scopes if n and not f]
                name = "::".join(classes + [name]) if name and is_function and name != last else name
                scopes.append((token.partner if token.partner > 0 else len(self.tokens), name, is_function))
                last = name if is_function else last
            if token.text in (";", "{", "}") and not (token.text == "{" and function):
                header = i + 1

    def _declared(self, begin, brace):
        """(name, is a function) of what a brace opens."""
        words = [t.text for t in self.tokens[begin:brace]]
        for keyword in ("namespace", "class", "struct", "enum", "union"):
            if keyword in words and "(" not in words:
                after = [w for w in words[words.index(keyword) + 1:] if w not in ("class", "final")]
                return ("" if keyword == "namespace" or not after else after[0]), False
        if not words or words[0] == ",":
            return "", True  # the rest of a constructor's list of members
        for j in range(begin, brace):
            if self.word(j) in ("(", "=") or (self.word(j) == "{" and j > begin):
                k, name = j, ""
                if self.word(k - 1) == "]":  # a table
                    k = self.tokens[k - 1].partner
                while k > begin and (self.word(k - 1) in ("::", "~") or self.tokens[k - 1].kind == "word"):
                    if name and self.word(k - 1) != "::" and not name.startswith(("::", "~")):
                        break
                    k -= 1
                    name = self.word(k) + name
                if "operator" in words[:j - begin + 1] and "operator" not in name:
                    name = "operator" + "".join(words[words.index("operator") + 1:j - begin])
                return name, True
        return words[-1] if words else "", True

"""The limits of the SDKs of Python, Node, Go and Java: docs/limits-of-sdks.md has each constant of their sources, with its value."""

import ast
import glob
import os
import re

PAGE = "docs/limits-of-sdks.md"
LANGUAGES = ("python", "node", "go", "java")
# Numbers that bound nothing: formats, codes of libraries.
NO_LIMITS = {"KIND", "_NEVER", "IN_TRANSACTION", "IN_AUTOCOMMIT", "_FORMAT", "FORMAT", "xaFormat", "_IN_TRANSACTION", "SQLITE_BUSY", "SQLITE_CONSTRAINT", "serialVersionUID"}
SOURCES = {
    "python": "participant-sdk/python/assent/**/*.py",
    "node": "participant-sdk/node/src/*.ts",
    "go": "participant-sdk/go/**/*.go",
    "java": "participant-sdk/java/src/main/java/assent/**/*.java",
}
# How a name gets its number, beside constants: a setting's default.
FORMS = {
    "python": (r"(?m)^\s*{name}(?:: [\w\[\]]+)? = ([^#\n]+)", r"\b{name}: [\w\[\]]+ = ([\d._]+)"),
    "node": (r"\bconst {name} = ([^;\n]+);", r"\b{name}: ([\d_]+)", r"\b{name} \?\? ([\d_]+)"),
    "go": (r"(?m)^\s*(?:const )?{name}\s+= ([^/\n]+)", r"\b{name}: ([^,\n]*time\.\w+)"),
    "java": (r"\b{name} = ([^;\n]+);",),
}
# Every constant that has a number.
CONSTANTS = {
    "node": r"(?m)^(?:export )?const ([A-Z][A-Z0-9_]*) = ",
    "go": r"(?m)^(?:const |\t)(\w+)\s+= ",
    "java": r"static final (?:int|long|double|Duration) (\w+) = ",
}
TIMES = {"time.Millisecond": "1", "time.Second": "1000", "time.Minute": "60000"}
DURATIONS = {"Duration.ofMillis": 1, "Duration.ofSeconds": 1000, "Duration.ofMinutes": 60_000, "Duration.ofHours": 3_600_000,
             "Duration.ofDays": 86_400_000, "TimeUnit.SECONDS.toNanos": 1000}


def number_of(expression, names):
    """Its value, and whether that is in milliseconds whatever the name says; None where it is no number. `names`: of other constants."""
    text = expression.strip()
    is_time = False
    for word, factor in DURATIONS.items():
        if text.startswith(word + "("):
            text, is_time = f"{factor} * {text[len(word):]}", True
    for word, factor in TIMES.items():
        if word in text:
            text, is_time = text.replace(word, factor), True
    text = re.sub(r"(?:Limits\.)?\b([A-Z][A-Z0-9_]+)\b", lambda m: str(names.get(m[1], m[0])), text)
    text = re.sub(r"(?<=\d)[_L](?=\d|\b)", "", text)
    if not re.fullmatch(r"[\d\s.*+<()-]+", text) or not re.search(r"\d", text):
        return None
    try:
        return eval(text, {"__builtins__": {}}), is_time  # pylint: disable=eval-used
    except (SyntaxError, TypeError):
        return None


def in_milliseconds(language, name, value, is_time):
    if is_time or re.search(r"_MS$|Ms$", name):
        return value
    if language == "python" or re.search(r"_S$|_SECONDS$|Seconds$", name):
        return value * 1000
    return value


class Sources:
    def __init__(self, pages):
        self.texts = {}
        for language, pattern in SOURCES.items():
            for path in sorted(glob.glob(os.path.join(pages.root, pattern), recursive=True)):
                short = os.path.relpath(path, pages.root)
                if not re.search(r"_test\.go$|/(assentv1|assent/v1|example|internal)/|_pb2", short):
                    key = (language, os.path.splitext(os.path.basename(path))[0])
                    self.texts[key] = self.texts.get(key, "") + pages.text(short) + "\n"
        self.names = {language: {} for language in LANGUAGES}
        for language, module, name in self.constants():
            found = self.value(language, module, name, {})
            if found:
                self.names[language][name] = found[0]

    def constants(self):
        """(language, module, name) of each that is a number."""
        for (language, module), text in self.texts.items():
            names = list(python_constants(text)) if language == "python" else re.findall(CONSTANTS[language], text)
            for name in names:
                if name not in NO_LIMITS and self.value(language, module, name):
                    yield language, module, name

    def value(self, language, module, name, names=None):
        """(number, is in milliseconds), or None."""
        text = self.texts.get((language, module), "")
        for form in FORMS[language]:
            for expression in re.findall(form.format(name=re.escape(name)), text):
                found = number_of(expression.split("  #")[0].split(" // ")[0], self.names[language] if names is None and hasattr(self, "names") else {})
                if found:
                    return found
        return None


def python_constants(text):
    """Of the module, and of classes that are no enumerations."""
    def of(body):
        for one in body:
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name) and re.fullmatch(r"_?[A-Z][A-Z0-9_]+", one.targets[0].id):
                yield one.targets[0].id
            if isinstance(one, ast.ClassDef) and not any("Enum" in ast.unparse(base) for base in one.bases):
                yield from of(one.body)
    return of(ast.parse(text).body)


def rows(section):
    for line in section.split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 7 and re.fullmatch(r"[\d.]*", cells[1]):
            yield cells


def check_sdk_limits(pages):
    """Each constant is on the page once, with the value that it has."""
    sources = Sources(pages)
    named = set()
    for what, value, *columns, _ in rows(pages.text(PAGE)):
        for language, cell in zip(LANGUAGES, columns):
            for module, name, own in re.findall(r"`([\w-]+)\.(\w+)`(?: \(([\d.]+)\))?", cell):
                named.add((language, module, name))
                found = sources.value(language, module, name)
                if found and "milliseconds" in what:
                    found = (in_milliseconds(language, name, *found),)
                if not found or float(found[0]) != float(own or value or "nan"):
                    yield f"{PAGE}: {module}.{name} of {language} is {own or value}, the code says {found and found[0]}"
    for language, module, name in sources.constants():
        if (language, module, name) not in named:
            yield f"{PAGE}: {module}.{name} of {language} is missing"

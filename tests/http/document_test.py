#!/usr/bin/python3
"""Whatever the OpenAPI document allows is asked of a real assentd, and much that it does not; every answer is one that it names.

Hypothesis draws the requests from the document's own schemas: no 5xx, no code and no body that is not in it. The document itself is held
to the rules of OpenAPI 3.0 that a reader of it relies on, and its schemas to those of JSON Schema.
"""

import json
import re
import tempfile
import unittest
import urllib.parse

import jsonschema
from hypothesis import configuration
from hypothesis import HealthCheck, given, settings, strategies as st

from rig import Daemon, Participant, order

# Nothing is left where the test is called.
KEPT = tempfile.TemporaryDirectory(prefix="assent-hypothesis-")
configuration.set_hypothesis_home_dir(KEPT.name)

EXAMPLES = 60
NAMES = st.sampled_from(["g", "g2", "order:17", "open", "nobody-has-it"])
TEXTS = st.one_of(NAMES, st.text(max_size=20), st.sampled_from(["bank", "debit", "1"]))


def resolved(document, schema):
    """Without references, for jsonschema: those are below the document's own root."""
    return {**schema, "components": document["components"]}


# What the coordinator can work with, by the name of its schema: drawn from the schema alone, hardly a request is accepted.
BRANCH = st.fixed_dictionaries({"branchId": NAMES, "protocol": st.sampled_from(["TCC", "SAGA", "TWO_PHASE"]), "service": st.sampled_from(["bank", "nobody"]),
                                "action": st.just("debit")})
LIKED = {"BranchSpec": BRANCH, "TransactionSpec": st.fixed_dictionaries({"branches": st.lists(BRANCH, max_size=2)}, optional={"gid": NAMES}),
         "OperatorAction": st.just({"who": "ann", "reason": "r"})}


def values(document, schema, depth=0):
    """What a schema allows, with a liking for what the coordinator knows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if name in LIKED:
            return st.one_of(LIKED[name], values(document, document["components"]["schemas"][name], depth))
        return values(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], depth)
    kind = schema["type"]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(schema.get("minimum", -2**31), schema.get("maximum", 2**31 - 1))
    if kind == "string":
        if schema.get("format") == "byte":
            return st.sampled_from(["", "eA==", "AAECAw=="])
        if schema.get("format") in ("int64", "uint64"):
            least = 0 if schema["format"] == "uint64" else -2**63
            return st.one_of(st.integers(0, 5000), st.integers(least, 2**63 - 1)).map(str)
        return TEXTS if "pattern" not in schema else st.one_of(NAMES, st.from_regex(schema["pattern"], fullmatch=True))
    if kind == "array":
        return st.lists(values(document, schema["items"], depth + 1), max_size=3)
    if "properties" not in schema:
        inner = schema.get("additionalProperties")
        return st.dictionaries(TEXTS, values(document, inner, depth + 1), max_size=3) if isinstance(inner, dict) else st.just({})
    if depth > 3:
        return st.just({})
    return st.fixed_dictionaries({}, optional={name: values(document, one, depth + 1) for name, one in schema["properties"].items()})


def operations(document):
    for path, methods in sorted(document["paths"].items()):
        for method, operation in sorted(methods.items()):
            yield method.upper(), path, operation


def text_of(value):
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


@st.composite
def requests(draw, document):
    method, path, operation = draw(st.sampled_from(list(operations(document))))
    target, query = path, []
    for parameter in operation.get("parameters", []):
        drawn = values(document, parameter["schema"])
        if parameter["in"] == "path":
            target = target.replace("{%s}" % parameter["name"], urllib.parse.quote(draw(drawn), safe=""))
        elif draw(st.booleans()):
            value = draw(drawn)
            if isinstance(value, dict):
                query += [(f"{parameter['name']}[{key}]", inner) for key, inner in value.items()]
            else:
                query += [(parameter["name"], text_of(one)) for one in (value if isinstance(value, list) else [value])]
    # Nobody here waits for long.
    if any(parameter["name"] == "timeout_ms" for parameter in operation.get("parameters", [])):
        query = [one for one in query if one[0] != "timeout_ms"] + [("timeout_ms", "20")]
    if query:
        target += "?" + urllib.parse.urlencode(query)
    body = None
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]["schema"]
        if operation["requestBody"]["required"] or draw(st.booleans()):
            body = draw(values(document, content))
            if "{gid}" in path and draw(st.booleans()):
                body.pop("gid", None)  # the path has it
    return method, path, operation, target, body


class Document(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.participant = Participant()
        cls.daemon = Daemon("--unary", f"bank={cls.participant.endpoint}", "--drain-seconds", "0")
        cls.daemon.ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order("g"))
        cls.daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order("order:17", service="nobody", deadlineMs="600000"))
        cls.daemon.ask("POST", "/v1/transactions:begin", {"gid": "open", "deadlineMs": "600000"})
        cls.document = cls.daemon.ask("GET", "/v1/openapi.json")[2]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()
        cls.participant.close()

    def check_answer(self, method, path, operation, target, body):
        connection = self.daemon.connect()
        try:
            connection.request(method, target, None if body is None else json.dumps(body), {"Content-Type": "application/json"} if body is not None else {})
            answer = connection.getresponse()
            kind = (answer.getheader("Content-Type") or "").partition(";")[0]
            # A stream goes on for as long as its transaction does.
            text = answer.fp.readline() if kind == "text/event-stream" else answer.read()
        finally:
            connection.close()
        said = f"{method} {target} {json.dumps(body)}: {answer.status} {text[:500]}"
        self.assertTrue(answer.status < 500 or answer.status == 504, said)
        self.assertIn(str(answer.status), operation["responses"], said)
        content = operation["responses"][str(answer.status)].get("content")
        if content is None:
            return self.assertEqual(b"", text, said)
        self.assertIn(kind, content, said)
        if kind == "application/json":
            jsonschema.validate(json.loads(text), resolved(self.document, content[kind]["schema"]))
        if answer.status == 429:
            self.assertTrue(answer.getheader("Retry-After"), said)

    def test_every_operation_has_answers_of_the_document(self):
        @settings(max_examples=EXAMPLES * 10, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(requests(self.document))
        def check(request):
            self.check_answer(*request)
        check()

    def test_what_is_not_of_the_document_is_refused_in_its_words(self):
        everything = list(operations(self.document))
        @settings(max_examples=EXAMPLES * 4, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(everything), st.sampled_from(["x", "a b", "%", "é", "x" * 200, "..", ":", "g:abort"]),
               st.sampled_from(["", "?x=1", "?page_size=x", "?labels[", "?=", "?&&", "?timeout_ms=-1", "?wait_for=9"]),
               st.one_of(st.none(), st.text(max_size=30), st.recursive(st.none() | st.integers() | st.text(max_size=5),
                                                                       lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3))))
        def check(operation, name, query, body):
            method, path, known = operation
            if "text/event-stream" in known["responses"]["200"]["content"]:
                return
            target = re.sub(r"{\w+}", lambda _: urllib.parse.quote(name, safe=":%"), path) + query
            code, headers, answer = self.daemon.ask(method, target, body if body is None else json.dumps(body))
            said = f"{method} {target} {body!r}: {code} {answer}"
            self.assertIn(str(code), known["responses"], said)
            self.assertTrue(code < 500 or code == 504, said)
            if code >= 400 and headers["Content-Type"] == "application/json":
                jsonschema.validate(answer, resolved(self.document, {"$ref": "#/components/schemas/Status"}))
        check()

    def test_the_document_is_one(self):
        document = self.document
        self.assertRegex(document["openapi"], r"^3\.0\.\d$")
        self.assertTrue(document["info"]["title"] and document["info"]["version"])
        ids = [operation["operationId"] for _, _, operation in operations(document)]
        self.assertEqual(len(ids), len(set(ids)))
        for method, path, operation in operations(document):
            self.assertTrue(path.startswith("/"))
            named = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"]
            self.assertEqual(re.findall(r"{(\w+)}", path), named, path)
            self.assertTrue(all(one["required"] for one in operation.get("parameters", []) if one["in"] == "path"))
            places = [(one["in"], one["name"]) for one in operation.get("parameters", [])]
            self.assertEqual(len(places), len(set(places)), path)
            self.assertTrue(operation["responses"])
            for code, response in operation["responses"].items():
                self.assertRegex(code, r"^[1-5]\d\d$")
                self.assertTrue(response["description"])
            self.assertFalse(method == "GET" and "requestBody" in operation, path)
        schemas = document["components"]["schemas"]
        for name, schema in schemas.items():
            self.assertRegex(name, r"^[A-Za-z0-9._-]+$")
            jsonschema.Draft4Validator.check_schema(schema)
        used = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
        self.assertEqual(set(schemas), used)


if __name__ == "__main__":
    unittest.main(verbosity=2)

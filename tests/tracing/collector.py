"""A collector that takes nothing for granted: OTLP over HTTP by the numbers of its specification, read without any definition of ours."""

import http.server
import struct
import threading
import time

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_BATCH_SPANS = 512


class Refused(Exception):
    """Why a request is none."""


def fields(data):
    """(number, wire type, value) of each field of a message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise Refused("a varint that does not end")
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take(size):
        nonlocal at
        if at + size > len(data):
            raise Refused("a field that is cut off")
        at += size
        return data[at - size:at]

    while at < len(data):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            yield number, kind, varint()
        elif kind == FIXED64:
            yield number, kind, struct.unpack("<Q", take(8))[0]
        elif kind == BYTES:
            yield number, kind, bytes(take(varint()))
        elif kind == FIXED32:
            yield number, kind, struct.unpack("<I", take(4))[0]
        else:
            raise Refused(f"wire type {kind} of field {number}")


def text(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"a text that is no UTF-8: {data!r}") from error


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def message(what, data, known):
    """{name: value} by `known`: number -> (name, wire type, how it is read, whether there may be several). Nothing else may be there."""
    read = {name: [] for name, _, _, many in known.values() if many}
    for number, kind, value in fields(data):
        if number not in known:
            raise Refused(f"{what} has no field {number}")
        name, right_kind, reader, many = known[number]
        if kind != right_kind:
            raise Refused(f"{what}.{name} has wire type {kind}")
        if many:
            read[name].append(reader(value))
        elif name in read:
            raise Refused(f"{what}.{name} is there twice")
        else:
            read[name] = reader(value)
    return read


def any_value(data):
    value = message("AnyValue", data, {1: ("string", BYTES, text, False), 2: ("bool", VARINT, bool, False), 3: ("int", VARINT, signed, False)})
    if len(value) != 1:
        raise Refused("an attribute without a value, or with two")
    return next(iter(value.values()))


def key_value(data):
    pair = message("KeyValue", data, {1: ("key", BYTES, text, False), 2: ("value", BYTES, any_value, False)})
    if not pair.get("key") or "value" not in pair:
        raise Refused(f"an attribute without its key or value: {pair}")
    return pair["key"], pair["value"]


def attributes(pairs):
    if len(dict(pairs)) != len(pairs):
        raise Refused("a key twice")
    return dict(pairs)


def identifier(size):
    def reader(data):
        if len(data) != size or not any(data):
            raise Refused(f"an id that is none: {data.hex()!r}")
        return data.hex()
    return reader


def status(data):
    read = message("Status", data, {2: ("message", BYTES, text, False), 3: ("code", VARINT, int, False)})
    if read.get("code", 0) > 2 or (read.get("message") and read.get("code") != 2):
        raise Refused(f"a status that is none: {read}")
    return read


SPAN = {
    1: ("trace_id", BYTES, identifier(16), False), 2: ("span_id", BYTES, identifier(8), False), 3: ("trace_state", BYTES, text, False),
    4: ("parent_span_id", BYTES, identifier(8), False), 5: ("name", BYTES, text, False), 6: ("kind", VARINT, int, False),
    7: ("start", FIXED64, int, False), 8: ("end", FIXED64, int, False), 9: ("attributes", BYTES, key_value, True),
    10: ("dropped_attributes_count", VARINT, int, False), 15: ("status", BYTES, status, False), 16: ("flags", FIXED32, int, False)}


def span(data):
    read = message("Span", data, SPAN)
    read["attributes"] = attributes(read["attributes"])
    for name in ("trace_id", "span_id", "name", "kind", "start", "end"):
        if not read.get(name):
            raise Refused(f"a span without {name}: {read}")
    if read["end"] < read["start"]:
        raise Refused(f"a span that ends before it begins: {read}")
    if not 1 <= read["kind"] <= 5 or read.get("flags", 0) > 0xff:
        raise Refused(f"a kind or flags that are none: {read}")
    if read["span_id"] == read.get("parent_span_id"):
        raise Refused(f"its own parent: {read}")
    return read


def resource(data):
    read = attributes(message("Resource", data, {1: ("attributes", BYTES, key_value, True)})["attributes"])
    for name in ("service.name", "service.instance.id", "service.version"):
        if not read.get(name):
            raise Refused(f"a resource without {name}: {read}")
    return read


def scope(data):
    return message("InstrumentationScope", data, {1: ("name", BYTES, text, False), 2: ("version", BYTES, text, False)})


def scope_spans(data):
    read = message("ScopeSpans", data, {1: ("scope", BYTES, scope, False), 2: ("spans", BYTES, span, True)})
    if not read.get("scope", {}).get("name") or not read["spans"]:
        raise Refused("a scope without its name, or without spans")
    return read


def resource_spans(data):
    read = message("ResourceSpans", data, {1: ("resource", BYTES, resource, False), 2: ("scope_spans", BYTES, scope_spans, True)})
    if "resource" not in read or not read["scope_spans"]:
        raise Refused("spans of nobody, or somebody without spans")
    return read


def request(data):
    """[(resource, scope, [span])] of an ExportTraceServiceRequest."""
    read = message("ExportTraceServiceRequest", data, {1: ("resource_spans", BYTES, resource_spans, True)})["resource_spans"]
    if not read:
        raise Refused("a request without spans")
    groups = [(one["resource"], part["scope"], part["spans"]) for one in read for part in one["scope_spans"]]
    if sum(len(spans) for _, _, spans in groups) > MAX_BATCH_SPANS:
        raise Refused("more spans than a request may have")
    return groups


def varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, kind, value):
    return varint(number << 3 | kind) + (varint(value) if kind == VARINT else varint(len(value)) + value)


def partial_success(rejected, words):
    """An ExportTraceServiceResponse."""
    inner = (field(1, VARINT, rejected) if rejected else b"") + field(2, BYTES, words.encode())
    return field(1, BYTES, inner)


def refusal(words):
    """A google.rpc.Status."""
    return field(1, VARINT, 3) + field(2, BYTES, words.encode())


class Collector:
    """Answers as it is told, and keeps what it was sent. Whatever is not right is answered with 400, and stands in `faults`."""

    def __init__(self, port=0):
        self.requests = []  # {"at", "path", "headers", "body", "groups", "code"}, each try
        self.answers = []  # (code, {header: value}, body), in order; then 200
        self.faults = []
        self.connections = 0
        self.held = None  # an event that all answers wait for
        self.hang_up = False  # behind each answer, without a word
        self._lock = threading.Lock()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def setup(self):
                super().setup()
                with collector._lock:
                    collector.connections += 1

            def do_POST(self):  # noqa: N802
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code, headers, answer = collector._take(self, body)
                if collector.held:
                    collector.held.wait(60)
                try:
                    self.send_response(code)
                    for name, value in {"Content-Type": "application/x-protobuf", "Content-Length": str(len(answer)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    pass  # the other side has given up
                self.close_connection = self.close_connection or collector.hang_up

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a connection that the other side has reset

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _take(self, handler, body):
        groups = []
        try:
            if handler.headers["Content-Type"] != "application/x-protobuf" or handler.headers["Content-Encoding"]:
                raise Refused(f"headers {dict(handler.headers)}")
            if handler.path != "/v1/traces":
                raise Refused(f"the path {handler.path}")
            groups = request(body)
        except Refused as why:
            with self._lock:
                self.faults.append(str(why))
            return 400, {}, refusal(str(why))
        with self._lock:
            code, headers, answer = self.answers.pop(0) if self.answers else (200, {}, b"")
            self.requests.append({"at": time.monotonic(), "path": handler.path, "headers": dict(handler.headers), "body": body,
                                  "groups": groups, "code": code})
        return code, headers, answer

    def spans(self):
        """Those of requests that were taken, in order."""
        with self._lock:
            return [span for one in self.requests if one["code"] == 200 for _, _, spans in one["groups"] for span in spans]

    def close(self):
        if self.held:
            self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

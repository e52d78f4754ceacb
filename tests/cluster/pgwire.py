"""PostgreSQL's protocol, version 3: its messages, and a client that sends them one by one, as our log does and psql does not.

    with Session(port, database) as session:
        session.query("SELECT 1")                       # [["1"]], in the simple protocol
        session.send(["BEGIN", "INSERT ..", "COMMIT"])  # one pipeline with one Sync, like a group append
        session.receive()                               # rows of each statement; SqlError for the first that failed

Knows no password and no TLS: for private servers only.
"""

import socket
import struct

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST, PROTOCOL_3 = 80877103, 80877104, 80877102, 196608
HEADER_BYTES = 5  # a type, and a length that counts itself but not the type


class SqlError(Exception):
    def __init__(self, sqlstate, message):
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate = sqlstate


class Lost(Exception):
    """The connection ended."""


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def text(word):
    return word.encode() + b"\0"


def split(buffer):
    """The whole messages at the beginning of `buffer`, as (kind, raw), and how many bytes they have."""
    found, at = [], 0
    while len(buffer) - at >= HEADER_BYTES:
        size = 1 + struct.unpack_from("!i", buffer, at + 1)[0]
        if len(buffer) - at < size:
            break
        found.append((buffer[at:at + 1], buffer[at:at + size]))
        at += size
    return found, at


def fields(body):
    """Of an ErrorResponse or NoticeResponse: letters and texts."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


class Session:
    def __init__(self, port, database, user="assent", host="127.0.0.1", name="test", timeout=30):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.pid, self.notices = b"", None, []
        words = ("user", user, "database", database, "application_name", name)
        body = struct.pack("!i", PROTOCOL_3) + b"".join(map(text, words)) + b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.receive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def query(self, sql):
        self.socket.sendall(message(b"Q", text(sql)))
        return self.receive()[-1]

    def send(self, statements):
        pipeline = b""
        for sql in statements:
            pipeline += message(b"P", b"\0" + text(sql) + b"\0\0") + message(b"B", b"\0\0" + b"\0" * 6)
            pipeline += message(b"E", b"\0" + b"\0" * 4)
        self.socket.sendall(pipeline + message(b"S"))

    def _messages(self):
        while True:
            found, used = split(self.buffer)
            self.buffer = self.buffer[used:]
            yield from found
            if found:
                continue
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError as error:
                raise Lost(str(error)) from error
            if not more:
                raise Lost("closed")
            self.buffer += more

    def receive(self):
        """Up to ReadyForQuery."""
        answers, rows, error = [], [], None
        for kind, raw in self._messages():
            body = raw[HEADER_BYTES:]
            if kind == b"D":
                rows.append(self._row(body))
            elif kind == b"C":
                answers.append(rows)
                rows = []
            elif kind == b"E":
                error = error or SqlError(fields(body)["C"], fields(body)["M"])
            elif kind == b"N":
                self.notices.append(fields(body)["M"])
            elif kind == b"K":
                self.pid = struct.unpack("!i", body[:4])[0]
            elif kind == b"Z":
                if error:
                    raise error
                return answers
        raise Lost("closed")

    @staticmethod
    def _row(body):
        row, at = [], 2
        for _ in range(struct.unpack_from("!h", body)[0]):
            size = struct.unpack_from("!i", body, at)[0]
            row.append(None if size < 0 else body[at + 4:at + 4 + size].decode())
            at += 4 + max(size, 0)
        return row

"""HTTP/2 by hand, as far as gRPC needs it: a client that may stop in the middle of anything."""

import contextlib
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field without indexing and without compression."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Http2:
    """A connection to a gRPC server at HOST:PORT."""

    def __init__(self, endpoint, timeout=5):
        host, port = endpoint.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self._streams = -1
        self._window = {0: 65535}
        self._initial = 65535
        self._received = b""
        self.ended = {}
        self.data = 0

    def open(self, path):
        """A call without a message yet; its number."""
        self._streams += 2
        headers = (b"\x83\x86" + literal(b":path", path.encode()) + literal(b":authority", b"test")
                   + literal(b"te", b"trailers") + literal(b"content-type", b"application/grpc"))
        self.socket.sendall(frame(HEADERS, END_HEADERS, self._streams, headers))
        self._window[self._streams] = self._initial
        return self._streams

    def send(self, stream, data, end=False):
        """As much as the other side takes within its timeout; how much that was."""
        sent = 0
        while sent < len(data):
            room = min(16384, self._window[0], self._window[stream], len(data) - sent)
            if room == 0:
                if stream in self.ended or not self.receive():
                    return sent
                continue
            last = end and sent + room == len(data)
            self.socket.sendall(frame(DATA, END_STREAM if last else 0, stream, data[sent:sent + room]))
            sent += room
            for key in (0, stream):
                self._window[key] -= room
        return sent

    def call(self, path, message):
        """Sends a whole request; nothing is read but what makes room for it."""
        stream = self.open(path)
        data = b"\0" + struct.pack(">I", len(message)) + message
        return stream if self.send(stream, data, end=True) == len(data) else None

    def read_all(self, stream):
        """Reads at last; how many bytes there were, up to the end of the stream or a silence."""
        for number in (0, stream):
            self.socket.sendall(frame(WINDOW_UPDATE, 0, number, struct.pack(">I", 1 << 30)))
        while stream not in self.ended and self.receive():
            pass
        return self.data

    def receive(self):
        """Takes what has come; False: nothing in time, or the end."""
        try:
            chunk = self.socket.recv(65536)
        except (TimeoutError, ConnectionError):
            return False
        self._received += chunk
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                break
            kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
            self._take(kind, flags, stream, self._received[9:9 + size])
            self._received = self._received[9 + size:]
        return bool(chunk)

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for i in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[i:i + 6])
                if key == 4:
                    self._window = {k: w + (value - self._initial if k else 0) for k, w in self._window.items()}
                    self._initial = value
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == DATA:
            self.data += len(payload)
        elif kind == WINDOW_UPDATE:
            self._window[stream] = self._window.get(stream, 0) + struct.unpack(">I", payload)[0]
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self.ended[stream] = kind

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.close()

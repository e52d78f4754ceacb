"""A receiver behind TLS, or what is found in its place."""

import re
import socket
import ssl
import threading


def answer(code=204, headers="", body=""):
    return f"HTTP/1.1 {code} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


class SecureReceiver:
    """Of each connection it keeps what it was asked (`requests`), the name it was dialled by (`names`), and who came (`shown`)."""

    def __init__(self, pair=None, client_ca=None, version=None, answers=()):
        self.requests, self.names, self.shown, self.versions, self.ciphers = [], [], [], [], []
        self.connections = 0
        self.answers = list(answers)  # in order; then 204
        self.context = self.context_of(pair, client_ca, version) if pair else None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def context_of(self, pair, client_ca=None, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version == ssl.TLSVersion.TLSv1_1:
            context.set_ciphers("ALL:@SECLEVEL=0")
        if version:
            context.minimum_version = context.maximum_version = version
        context.load_cert_chain(pair.cert, pair.key)
        context.sni_callback = lambda _, name, __: self.names.append(name)
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def renew(self, pair):
        """For whoever comes from now on."""
        self.context = self.context_of(pair)

    def _accept(self):
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(raw)
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        try:
            self.serve(raw)
        except (OSError, ValueError):
            pass  # it has gone, or is none of whom it takes
        finally:
            raw.close()

    def shake(self, raw):
        line = self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        self._open.append(line)
        try:
            line.do_handshake()
        except OSError:
            line.close()
            raise
        return line

    def serve(self, raw):
        with self.shake(raw) as line:
            self.versions.append(line.version())
            self.ciphers.append(line.cipher()[0])
            self.shown.append(line.getpeercert())
            self.talk(line)

    def talk(self, line):
        while request := self.read(line):
            self.requests.append(request)
            line.sendall(self.answers.pop(0) if self.answers else answer())

    @staticmethod
    def read(line):
        """A whole request; empty: there is none any more."""
        got = b""
        while b"\r\n\r\n" not in got:
            more = line.recv(65536)
            if not more:
                return b""
            got += more
        head, body = got.split(b"\r\n\r\n", 1)
        while len(body) < int(re.search(rb"(?i)content-length: (\d+)", head)[1]):
            body += line.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for one in self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended


class Plain(SecureReceiver):
    """Speaks HTTP alone; of what is none it says so, as servers do."""

    def serve(self, raw):
        start = raw.recv(65536, socket.MSG_PEEK)
        if start.startswith(b"POST "):
            return self.talk(raw)
        raw.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        while raw.recv(65536):
            pass


class Silent(SecureReceiver):
    """Takes what comes, and says nothing."""

    def serve(self, raw):
        while raw.recv(65536):
            pass


class Dripping(SecureReceiver):
    """A handshake that goes on and does not end: a byte of a record now and then."""

    def __init__(self):
        self._closed = threading.Event()
        super().__init__()

    def serve(self, raw):
        raw.recv(65536)
        for byte in b"\x16\x03\x03\x40\x00\x02" + bytes(4096):
            raw.sendall(bytes([byte]))
            if self._closed.wait(0.05):
                return

    def close(self):
        self._closed.set()
        super().close()


class Leaving(SecureReceiver):
    """Closes when it has been greeted."""

    def serve(self, raw):
        raw.recv(65536)


class Cutting(SecureReceiver):
    """Closes when it has read the request, with nothing or a part of an answer, and does not say that this is the end."""

    def __init__(self, pair, said=b""):
        self.said = said
        super().__init__(pair)

    def serve(self, raw):
        line = self.shake(raw)
        self.requests.append(self.read(line))
        line.sendall(self.said)
        socket.socket(fileno=line.detach()).close()


class Alarmed(SecureReceiver):
    """Speaks TLS, and takes what is none for an error of it, which it tells."""

    def serve(self, raw):
        raw.recv(65536)
        raw.sendall(b"\x15\x03\x03\x00\x02\x02\x46")

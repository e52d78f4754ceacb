"""What a scanner sees of a listener: which versions, ciphers, groups and protocols of TLS it takes, and what it does not.

Hellos are written here byte by byte, so that nothing is left out because this machine's openssl could not ask for it (RC4, 3DES, export);
what needs a whole handshake is asked by `openssl s_client`.
"""

import re
import socket
import struct
import subprocess

PATIENCE_SECONDS = 30

NAMES = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256",
         0xc02b: "ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02c: "ECDHE-ECDSA-AES256-GCM-SHA384", 0xcca9: "ECDHE-ECDSA-CHACHA20-POLY1305",
         0xc02f: "ECDHE-RSA-AES128-GCM-SHA256", 0xc030: "ECDHE-RSA-AES256-GCM-SHA384", 0xcca8: "ECDHE-RSA-CHACHA20-POLY1305"}
# By what is wrong with them (the numbers are IANA's).
WEAK = {
    "NULL": [0x0001, 0x0002, 0x003b, 0xc001, 0xc006, 0xc00b, 0xc010, 0xc015],
    "anonymous": [0x0018, 0x001b, 0x0034, 0x003a, 0x006c, 0x006d, 0x00a6, 0x00a7, 0xc016, 0xc017, 0xc018, 0xc019],
    "export": [0x0003, 0x0006, 0x0008, 0x000b, 0x000e, 0x0011, 0x0014, 0x0017, 0x0019, 0x0062, 0x0064],
    "RC4": [0x0004, 0x0005, 0x0018, 0xc002, 0xc007, 0xc00c, 0xc011, 0xc016],
    "DES, 3DES, IDEA": [0x0007, 0x0009, 0x000a, 0x0015, 0x0016, 0x001a, 0xc003, 0xc008, 0xc00d, 0xc012],
    "RSA key exchange": [0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d, 0x0041, 0x0084, 0xc09c, 0xc09d],
    "CBC": [0x0033, 0x0039, 0x0067, 0x006b, 0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028],
}
ALL = [*range(0x0001, 0x0100), *range(0xc001, 0xc100), *range(0xcca8, 0xccaf)]
GROUPS = ["X25519", "P-256", "P-384", "P-521", "X448", "ffdhe2048", "ffdhe3072"]


def extension(kind, body):
    return struct.pack(">HH", kind, len(body)) + body


def vector(body, size=">H"):
    return struct.pack(size, len(body)) + body


def hello(version, ciphers, compressions=b"\0", alpn=b"", fallback=False):
    offered = [*ciphers, 0x5600] if fallback else ciphers
    extensions = b""
    if version > 0x0300:
        extensions += extension(10, vector(struct.pack(">5H", 29, 23, 24, 25, 30)))
        extensions += extension(11, vector(b"\0", ">B"))
        extensions += extension(13, vector(struct.pack(">9H", 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0201, 0x0203)))
    if alpn:
        extensions += extension(16, vector(vector(alpn, ">B")))
    body = struct.pack(">H", version) + bytes(range(32)) + vector(b"", ">B") + vector(struct.pack(f">{len(offered)}H", *offered)) + vector(compressions, ">B")
    body += vector(extensions) if extensions else b""
    return record(b"\x01" + struct.pack(">I", len(body))[1:] + body)


def record(body):
    return b"\x16\x03\x01" + vector(body)


def exactly(connected, size):
    data = b""
    while len(data) < size:
        more = connected.recv(size - len(data))
        if not more:
            return b""
        data += more
    return data


class Scan:
    def __init__(self, address, alpn):
        host, port = address.rsplit(":", 1)
        self.address, self._at, self._alpn = address, (host, int(port)), alpn

    def server_hello(self, *arguments, **more):
        """(version, cipher, compression), or None: it refuses."""
        with socket.create_connection(self._at, timeout=PATIENCE_SECONDS) as connected:
            connected.sendall(hello(*arguments, **{"alpn": self._alpn, **more}))
            try:
                head = exactly(connected, 5)
                if len(head) < 5 or head[0] != 0x16:
                    return None
                body = exactly(connected, struct.unpack(">H", head[3:])[0])
            except ConnectionResetError:
                return None
        if not body or body[0] != 2:
            return None
        version = struct.unpack(">H", body[4:6])[0]
        at = 39 + body[38]
        return version, struct.unpack(">H", body[at:at + 2])[0], body[at + 2]

    def client(self, *arguments, said=b"", alpn=True):
        more = ("-alpn", self._alpn.decode()) if alpn else ()
        done = subprocess.run(["openssl", "s_client", "-connect", self.address, *more, *arguments], input=said, capture_output=True, timeout=PATIENCE_SECONDS)
        return (done.stdout + done.stderr).decode(errors="replace")

    @staticmethod
    def is_served(said):
        return bool(re.search(r"^New, TLSv1\.[23], Cipher is (?!\(NONE\))", said, re.M)) and "alert" not in said

    def accepted(self, ciphers):
        """Those of them that it takes, by TLS 1.2, in its own order."""
        left, taken = list(ciphers), []
        while left and (chosen := self.server_hello(0x0303, left)) is not None:
            taken.append(chosen[1])
            left.remove(chosen[1])
        return taken

    # ---- The table -----------------------------------------------------------------------------------

    def versions(self):
        taken = [name for version, name in ((0x0300, "SSL 3"), (0x0301, "TLS 1.0"), (0x0302, "TLS 1.1"), (0x0303, "TLS 1.2"))
                 if (got := self.server_hello(version, ALL)) is not None and got[0] == version]
        return ", ".join(taken + (["TLS 1.3"] if self.is_served(self.client("-tls1_3")) else []))

    def ciphers_of_13(self):
        offered = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256")
        return ", ".join(one for one in offered if self.is_served(self.client("-tls1_3", "-ciphersuites", one)))

    def ciphers_of_12(self):
        return ", ".join(NAMES.get(one, hex(one)) for one in sorted(self.accepted(ALL)))

    def weak(self):
        return ", ".join(kind for kind, ciphers in WEAK.items() if self.server_hello(0x0303, ciphers) is not None) or "none"

    def groups(self):
        return ", ".join(one for one in GROUPS if self.is_served(self.client("-tls1_3", "-groups", one)))

    def compression(self):
        got = self.server_hello(0x0303, ALL, compressions=b"\x01\x40\x00")
        return "off" if got is not None and got[2] == 0 else "on"

    def renegotiation(self):
        # The next handshake is not answered, or refused; with one that is taken, a second `verify return` is said.
        said = self.client("-tls1_2", said=b"R\n")
        assert "RENEGOTIATING" in said, said
        return "refused" if re.search(r"no renegotiation|alert|unexpected", said) else "taken"

    def binding(self):
        """What keeps one handshake from being passed off as part of another, in TLS 1.2: RFC 5746, and RFC 7627."""
        said = self.client("-tls1_2")
        return ", ".join(name for name, found in (("secure renegotiation", "Secure Renegotiation IS supported"),
                                                  ("extended master secret", "Extended master secret: yes")) if found in said) or "none"

    def resumption(self):
        taken = []
        if "Reused, " in self.client("-tls1_2", "-reconnect"):
            taken.append("TLS 1.2")
        # Tickets come behind the handshake: until it closes, since this is no request of HTTP/2, or the last one.
        if "New Session Ticket arrived" in self.client("-tls1_3", "-ign_eof", said=b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
            taken.append("TLS 1.3")
        return ", ".join(taken) or "off"

    def protocols(self):
        taken = []
        for name in ("h2", "http/1.1", "spdy/3"):
            said = self.client("-alpn", name, alpn=False)
            if self.is_served(said) and f"ALPN protocol: {name}" in said:
                taken.append(name)
        return ", ".join(taken) or "none is chosen"

    def chain(self):
        return str(self.client("-showcerts").count("-----BEGIN CERTIFICATE-----"))

    def fallback(self):
        return "refused" if self.server_hello(0x0303, ALL, fallback=True) is None else "taken"

    def stapled(self):
        return "none" if "OCSP response: no response sent" in self.client("-status") else "sent"

    def early_data(self):
        return "none" if not re.search(r"Max Early Data: [1-9]", self.client("-tls1_3")) else "taken"

    def table(self):
        return {
            "versions": self.versions(),
            "ciphers of TLS 1.3": self.ciphers_of_13(),
            "ciphers of TLS 1.2": self.ciphers_of_12(),
            "weak ones among " + "; ".join(WEAK): self.weak(),
            "groups": self.groups(),
            "a downgrade that the client did not want": self.fallback(),
            "compression": self.compression(),
            "renegotiation": self.renegotiation(),
            "handshakes of TLS 1.2 are bound by": self.binding(),
            "resumption, tickets": self.resumption(),
            "early data": self.early_data(),
            "protocols (ALPN)": self.protocols(),
            "certificates that are sent, of a file with two": self.chain(),
            "stapled OCSP": self.stapled(),
        }

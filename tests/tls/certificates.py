"""Certificates for tests, made by the openssl program."""

import os
import subprocess
import tempfile
import time

DAY = 24 * 3600

CONFIG = """[ca]
default_ca = here
[here]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
default_md = sha256
rand_serial = yes
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
"""


def run(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def stamp(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text, mode=0o600):
    """As whoever renews certificates should: the new file takes the old one's place."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    os.rename(path + ".new", path)


class Pair:
    """A certificate and its key."""

    def __init__(self, stem):
        self.cert, self.key = stem + ".pem", stem + ".key"

    def texts(self):
        return read(self.cert), read(self.key)

    def become(self, other):
        cert, key = other.texts()
        write(self.key, key)
        write(self.cert, cert)


class Authority:
    """A CA in a folder of its own, which goes away with `close`."""

    def __init__(self, name="test-ca"):
        self._folder = tempfile.TemporaryDirectory(prefix="assent-tls-test-")
        self.folder = self._folder.name
        self.own = Pair(self.path("ca"))
        write(self.path("index.txt"), "")
        write(self.path("ca.cnf"), CONFIG.format(folder=self.folder))
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.own.key, "-out", self.own.cert,
            "-days", "30", "-subj", f"/CN={name}")

    @property
    def ca(self):
        return self.own.cert

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, sans="IP:127.0.0.1,DNS:localhost", begins=-DAY, ends=30 * DAY, key="ec"):
        """A certificate of this CA, for both sides of a connection; `begins` and `ends` are seconds from now."""
        pair = Pair(self.path(name))
        request = self.path(name + ".csr")
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256") if key == "ec" else ("-newkey", "rsa:2048")
        run("req", "-new", *kind, "-nodes", "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        os.chmod(pair.key, 0o600)
        extensions = "extendedKeyUsage=serverAuth,clientAuth\n" + (f"subjectAltName={sans}\n" if sans else "")
        write(self.path(name + ".ext"), extensions)
        run("ca", "-config", self.path("ca.cnf"), "-batch", "-notext", "-cert", self.own.cert, "-keyfile", self.own.key,
            "-in", request, "-out", pair.cert, "-extfile", self.path(name + ".ext"), "-startdate", stamp(begins), "-enddate", stamp(ends))
        return pair

    def close(self):
        self._folder.cleanup()

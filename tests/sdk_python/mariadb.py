"""A private, real MariaDB for tests that are scripts: what tests/support/postgresql.py is for PostgreSQL.

    with Server() as server:
        connection = server.connect(server.new_database())
        server.kill()      # kill -9
        server.start()     # the same folder and port again
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pymysql

STARTS_WITHIN_S = 60


def program(name):
    """Its path; None where it is not installed."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")


def server_user():
    """Who runs it, if we are root: anybody else may not."""
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


class Server:
    def __init__(self):
        self.folder = self.process = None
        self.databases = 0

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="assent-mariadb-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # A server that starts deletes the temporary tables that it finds: those of others, where the folder is shared.
        done = subprocess.run(self._as_user(program("mariadb-install-db"), "--no-defaults", "--auth-root-authentication-method=normal",
                                            "--skip-test-db", f"--datadir={self.folder}/data", f"--tmpdir={self.folder}"),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError("mariadb-install-db: " + done.stdout + done.stderr)
        self.start()
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _as_user(*words):
        prefix = ["setpriv", "--pdeathsig", "KILL"]
        if os.geteuid() == 0:
            prefix += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        return [*prefix, "--", *words]

    def start(self):
        """Until it answers."""
        with open(f"{self.folder}/output", "ab") as output:
            self.process = subprocess.Popen(
                self._as_user(program("mariadbd"), "--no-defaults", f"--datadir={self.folder}/data", f"--port={self.port}",
                              "--bind-address=127.0.0.1", f"--socket={self.folder}/socket", "--innodb-buffer-pool-size=32M",
                              "--innodb-log-file-size=16M", "--skip-name-resolve", f"--pid-file={self.folder}/pid",
                              f"--tmpdir={self.folder}"),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        end = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.connect("mysql").close()
                return
            except pymysql.err.OperationalError:
                time.sleep(0.05)
        with open(f"{self.folder}/output", encoding="utf-8", errors="replace") as output:
            raise RuntimeError("MariaDB does not answer: " + output.read())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def settings(self, database):
        """For pymysql.connect."""
        return {"host": "127.0.0.1", "port": self.port, "user": "root", "database": database}

    def connect(self, database):
        return pymysql.connect(**self.settings(database), autocommit=True)

    def new_database(self):
        self.databases += 1
        name = f"test_{self.databases}"
        with self.connect("mysql") as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return name

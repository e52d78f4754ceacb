"""A private, real PostgreSQL for tests that are scripts: what postgresql.h is for those in C++.

    with Server() as server:
        url = server.url(server.new_database())
        server.kill()      # kill -9 of the postmaster
        server.start()     # the same folder and port again
"""

import glob
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

USER = "assent"
SETTINGS = {
    "listen_addresses": "127.0.0.1", "shared_buffers": "32MB", "max_connections": "60", "max_wal_size": "256MB",
    "min_wal_size": "32MB", "wal_keep_size": "64MB", "max_prepared_transactions": "20", "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ", "jit": "off",
}
STARTS_WITHIN_S = 60


def bin_folder():
    """Of the newest server that is installed; None without one."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if found:
        return os.path.dirname(max(found, key=lambda path: int(re.search(r"/(\d+)/bin/", path).group(1))))
    initdb = shutil.which("initdb")
    return os.path.dirname(initdb) if initdb else None


def as_server_user(*words, dies_with_us=True):
    """As the user that the package made, if we are root (a server refuses it)."""
    prefix = ["--pdeathsig", "KILL"] if dies_with_us else []
    if os.geteuid() == 0:
        prefix += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
    return ["setpriv", *prefix, "--", *words] if prefix else list(words)


def command(tool, *arguments):
    return as_server_user(os.path.join(bin_folder(), tool), *arguments)


def kill_with_children(postmaster):
    """kill -9 of the postmaster. Its children see that it is gone, and go: until they have."""
    with open(f"/proc/{postmaster}/task/{postmaster}/children", encoding="ascii") as children:
        left = [str(postmaster), *children.read().split()]
    os.kill(postmaster, signal.SIGKILL)
    end = time.monotonic() + STARTS_WITHIN_S
    while any(is_there(pid) for pid in left) and time.monotonic() < end:
        time.sleep(0.005)


def is_there(pid):
    """And not only waits for somebody to ask what became of it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def psql(url, text):
    """What psql prints for it, unaligned; an error is raised."""
    done = subprocess.run([bin_folder() + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{text}: {done.stderr}")
    return done.stdout.strip()


def until(condition, seconds, what):
    """What it returns once that is something; `what`, words or a call that says them, else."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.05)
    return found


def private_folder(prefix):
    """In memory where there is such a place, of the user that servers run as."""
    folder = tempfile.mkdtemp(prefix=prefix, dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    return folder


def free_port():
    """One that nobody uses and the kernel gives to nobody by itself."""
    for _ in range(1000):
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Server:
    """`primary`: begins as a copy of that running server, as its standby `standby_name`; and hears of it through `primary_port`, or
    past any proxy. `copy_of`: begins with what is in that folder of a server that does not run."""

    def __init__(self, settings=None, primary=None, standby_name="standby", primary_port=None, copy_of=None):
        self.settings = {**SETTINGS, **(settings or {})}
        self.primary, self.standby_name, self.primary_port, self.copy_of = primary, standby_name, primary_port, copy_of
        self.folder = self.port = self.process = None
        self.databases = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # leaves no process behind
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.folder and "ASSENT_KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _create(self):
        if bin_folder() is None:
            raise RuntimeError("no PostgreSQL server on this machine: tools/install-deps.sh installs it")
        self.folder = private_folder("assent-postgresql-")
        self.data, self.port = self.folder + "/data", free_port()
        if self.copy_of:
            subprocess.run(as_server_user("cp", "-a", self.copy_of, self.data), check=True)
        elif self.primary:
            url = f"postgresql://{USER}@127.0.0.1:{self.primary_port}/postgres?" if self.primary_port else (
                self.primary.socket_url("postgres") + "&")
            self._run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-N", "-d",
                      url + "application_name=" + self.standby_name)
        else:
            self._run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
            with open(self.data + "/pg_hba.conf", "w", encoding="utf-8") as rules:
                rules.write("local all,replication all trust\nhost all,replication all 127.0.0.1/32 trust\n")

    def _run(self, tool, *arguments):
        done = subprocess.run(command(tool, *arguments), cwd=self.folder, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{tool} failed: {done.stdout}")

    def start(self):
        """Until it answers. After kill(): once the processes of the one before are gone."""
        if self.folder is None:
            self._create()
        arguments = ["-D", self.data, "-p", str(self.port), "-k", self.folder]
        for name, value in self.settings.items():
            arguments += ["-c", f"{name}={value}"]
        end = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < end:
            if self.process is None or self.process.poll() is not None:
                with open(self.folder + "/output", "a", encoding="utf-8") as output:
                    self.process = subprocess.Popen(command("postgres", *arguments), cwd=self.folder,
                                                    stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            asked = subprocess.run([bin_folder() + "/pg_isready", "-q", "-h", self.folder, "-p", str(self.port)], check=False)
            if asked.returncode == 0 and self.process.poll() is None:
                return
            time.sleep(0.02)
        raise RuntimeError("PostgreSQL does not answer: " + self.output())

    def output(self):
        with open(self.folder + "/output", encoding="utf-8", errors="replace") as output:
            return output.read()

    def kill(self):
        kill_with_children(self.process.pid)
        self.process.wait()

    def stop(self):
        """Clients are thrown out, all is written."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def promote(self):
        self._run("pg_ctl", "promote", "-D", self.data, "-w", "-t", "60")

    def new_database(self):
        self.databases += 1
        name = f"test_{self.databases}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return name

    def url(self, database):
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database):
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def sql(self, database, text):
        return psql(self.socket_url(database), text)


def self_test():
    with Server() as server:
        database = server.new_database()
        server.sql(database, "CREATE TABLE a (n int); INSERT INTO a VALUES (7)")
        with Server(primary=server) as standby:
            server.kill()
            standby.promote()
            standby.sql(database, "INSERT INTO a VALUES (8)")
            assert standby.sql(database, "SELECT count(*) FROM a") == "2"
        server.start()
        assert server.sql(database, "SELECT n FROM a") == "7"
        folder = server.folder
    assert not os.path.exists(folder)


if __name__ == "__main__":
    if sys.argv[1:] != ["--self-test"]:
        sys.exit("usage: postgresql.py --self-test")
    self_test()

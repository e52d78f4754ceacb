"""Patroni over etcd, real and private: three PostgreSQL on loopback, of which one leads.

    with Cluster(door=lambda port: ..) as cluster:      # door: where those that follow the server of that port reach it
        leader = cluster.leader()
        leader.kill()                                   # kill -9 of its Patroni, then of its postmaster
        cluster.await_leader(other_than=leader)
        leader.start()                                  # as a supervisor would

Nothing of it outlives us: Patroni leaves its servers behind when it is killed, so a warden of the same user ends them, when we close
the pipe that it reads, or are gone ourselves.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request

import yaml

import postgresql
from postgresql import USER, bin_folder, free_port, until

STARTS_WITHIN_S = 120
HEARS_WITHIN_S = 10

# Ends the servers of all folders, and waits until they are gone.
WARDEN = """
import glob, os, signal, sys, time
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdin.read()
def servers():
    for name in glob.glob(sys.argv[1] + "/*/postmaster.pid"):
        try:
            pid = int(open(name).readline())
            if b"postgres" in open(f"/proc/{pid}/cmdline", "rb").read():
                yield pid
        except (OSError, ValueError):
            pass
end = time.monotonic() + 20
while time.monotonic() < end and (pids := list(servers())):
    for pid in pids:
        os.kill(pid, signal.SIGQUIT)
    time.sleep(0.05)
"""


def missing():
    """What is not installed, in words; empty: nothing."""
    return [tool for tool in ("patroni", "patronictl", "etcd") if shutil.which(tool) is None] + (
        [] if bin_folder() else ["PostgreSQL's server"])


class Node:
    """One PostgreSQL and the Patroni that runs it."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.port, self.rest_port = free_port(), free_port()
        self.reached_at = cluster.door(self.port)
        self.data = os.path.join(cluster.folder, name)
        self.log = os.path.join(cluster.folder, name + ".log")
        self.process = None
        with open(self.settings_file(), "w", encoding="utf-8") as settings:
            yaml.safe_dump(self._settings(), settings)

    def settings_file(self):
        return os.path.join(self.cluster.folder, self.name + ".yml")

    def _settings(self):
        rest = f"127.0.0.1:{self.rest_port}"
        return {
            "scope": "assent", "name": self.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"hosts": [f"127.0.0.1:{self.cluster.etcd_port}"]},
            "bootstrap": {
                "dcs": {**self.cluster.settings, "postgresql": {
                    "use_pg_rewind": True, "use_slots": True,
                    "parameters": {**postgresql.SETTINGS, "unix_socket_directories": self.cluster.folder}}},
                "initdb": ["no-sync", {"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}]},
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}", "connect_address": f"127.0.0.1:{self.reached_at}",
                "data_dir": self.data, "bin_dir": bin_folder(), "pgpass": self.data + ".pgpass",
                "authentication": {"superuser": {"username": USER}, "replication": {"username": USER}},
                "pg_hba": ["local all,replication all trust", "host all,replication all 127.0.0.1/32 trust"]}}

    def start(self):
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(postgresql.as_server_user("patroni", self.settings_file()), cwd=self.cluster.folder,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def running(self):
        return self.process is not None

    def kill_patroni(self):
        """The server goes on by itself."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def kill(self):
        self.kill_patroni()
        with open(self.data + "/postmaster.pid", encoding="ascii") as pid_file:
            postmaster = int(pid_file.readline())
        postgresql.kill_with_children(postmaster)

    def socket_url(self, database="postgres"):
        return f"postgresql://{USER}@/{database}?host={self.cluster.folder}&port={self.port}"

    def sql(self, database, text):
        """Of this server, past its door; an error is raised."""
        return postgresql.psql(self.socket_url(database), text)

    def takes_writes(self):
        try:
            return self.sql("postgres", "SELECT pg_is_in_recovery()") == "f"
        except RuntimeError:
            return False

    def words(self):
        """Of Patroni."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()


class Cluster:
    """`settings`: Patroni's own, which it keeps in etcd (ttl, synchronous_mode, ..)."""

    def __init__(self, settings, names=("a", "b", "c"), door=lambda port: port):
        self.settings, self.names, self.door = settings, names, door
        self.folder = self.etcd = self.warden = None
        self.nodes, self.databases = [], 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Until all stream from the one that leads."""
        if missing():
            raise RuntimeError(", ".join(missing()) + " not on this machine: tools/install-deps.sh installs it")
        self.folder = postgresql.private_folder("assent-patroni-")
        self.warden = subprocess.Popen(postgresql.as_server_user(sys.executable, "-c", WARDEN, self.folder, dies_with_us=False),
                                       cwd=self.folder, stdin=subprocess.PIPE)
        self.etcd_port, self.peer_port = free_port(), free_port()
        self.start_etcd()
        self.nodes = [Node(self, name) for name in self.names]
        self.nodes[0].start()
        until(self.nodes[0].takes_writes, STARTS_WITHIN_S, "a first server")
        for node in self.nodes[1:]:
            node.start()
        self.await_whole()

    def close(self):
        for node in self.nodes:
            if node.running():
                node.kill_patroni()
        if self.etcd:
            self.kill_etcd()
        if self.warden:
            self.warden.stdin.close()
            self.warden.wait(60)
        if self.folder and "ASSENT_KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_etcd(self):
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        with open(self.folder + "/etcd.log", "ab") as output:
            self.etcd = subprocess.Popen(
                postgresql.as_server_user("etcd", "--name", "e", "--data-dir", self.folder + "/etcd", "--listen-client-urls", client,
                                          "--advertise-client-urls", client, "--listen-peer-urls", peer,
                                          "--initial-advertise-peer-urls", peer, "--initial-cluster", "e=" + peer),
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        until(self._etcd_is_well, STARTS_WITHIN_S, "etcd")

    def _etcd_is_well(self):
        return self._get(self.etcd_port, "/health").get("health") == "true"

    def kill_etcd(self):
        self.etcd.kill()
        self.etcd.wait()
        self.etcd = None

    @staticmethod
    def _get(port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=HEARS_WITHIN_S) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    def members(self):
        """As Patroni sees them: role, state, lag, timeline, by name."""
        for node in self.nodes:
            if node.running():
                if found := self._get(node.rest_port, "/cluster").get("members"):
                    return {member["name"]: member for member in found}
        return {}

    def ctl(self, *words):
        """patronictl."""
        done = subprocess.run(["patronictl", "-c", self.nodes[0].settings_file(), *words], stdin=subprocess.DEVNULL, cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"patronictl {' '.join(words)}: {done.stdout}")
        return done.stdout

    def leader(self):
        """Who Patroni says leads, and takes writes; None."""
        for name, member in self.members().items():
            node = self.nodes[self.names.index(name)]
            if member["role"] == "leader" and node.takes_writes():
                return node
        return None

    def await_leader(self, other_than=None):
        return until(lambda: (found := self.leader()) is not other_than and found, STARTS_WITHIN_S, "another leader")

    def await_whole(self, synchronous=None):
        """All run; who does not lead streams; and with synchronous_mode one of them is the synchronous standby."""
        wanted = self.settings.get("synchronous_mode") if synchronous is None else synchronous

        def whole():
            members = self.members().values()
            roles = sorted(member["role"] for member in members)
            follow = "sync_standby" if wanted else "replica"
            timelines = {member.get("timeline") for member in members}
            return (roles == sorted(["leader", follow] + ["replica"] * (len(self.nodes) - 2)) and len(timelines) == 1 and
                    all(member["state"] in ("running", "streaming") for member in members) and self._streaming())
        until(whole, STARTS_WITHIN_S, f"a leader and {len(self.nodes) - 1} that follow: {self.members()}")

    def _streaming(self):
        leader = self.leader()
        return leader is not None and leader.sql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == str(
            len(self.nodes) - 1)

    def copy_of(self, node):
        """What the folder of one that was killed holds, as a server for whoever wants to look."""
        return postgresql.Server(settings={"synchronous_standby_names": ""}, copy_of=node.data)

    # ---- as a postgresql.Server is used ----

    def new_database(self):
        self.databases += 1
        name = f"test_{self.databases}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return name

    def url(self, database):
        """All of them; libpq takes the one that takes writes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://{USER}@{hosts}/{database}"

    def sql(self, database, text):
        leader = self.leader()
        if leader is None:
            raise RuntimeError("nobody leads")
        return leader.sql(database, text)


def self_test():
    with Cluster({"ttl": 5, "loop_wait": 1, "retry_timeout": 2}) as cluster:
        database = cluster.new_database()
        cluster.sql(database, "CREATE TABLE a (n int)")
        old = cluster.leader()
        old.kill()
        assert cluster.await_leader(other_than=old).sql(database, "SELECT count(*) FROM a") == "0"
        old.start()
        cluster.await_whole()
        folder = cluster.folder
        servers = [open(node.data + "/postmaster.pid", encoding="ascii").readline().strip() for node in cluster.nodes]
    assert not os.path.exists(folder) and not any(map(postgresql.is_there, servers))


if __name__ == "__main__":
    if sys.argv[1:] != ["--self-test"]:
        sys.exit("usage: patroni.py --self-test")
    self_test()

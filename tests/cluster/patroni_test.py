#!/usr/bin/python3
"""Three coordinators on three PostgreSQL that Patroni and etcd run, under load; what docs/cluster.md says of them.

    patroni_test.py

One story: the leader is killed, a switchover by hand, a leader without its Patroni (two that take writes), etcd gone, and at last,
with synchronous_mode off, a promotion that loses commits. The coordinators' address names all three servers.
"""

import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))

import audit  # noqa: E402
import losses  # noqa: E402
import patroni  # noqa: E402
import pgproxy  # noqa: E402
import rig as rigs  # noqa: E402

SETTINGS = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "maximum_lag_on_failover": 64 << 20,
            "synchronous_mode": True, "synchronous_mode_strict": True}
GOES_ON_WITHIN_S = 60
ANSWERS = 20  # so many more: it goes on


class PatroniRig(rigs.Rig):
    def __init__(self, folder):
        super().__init__(folder, lease_s=3.0, initiators=1)
        self.doors, self.asked = [], []  # `asked`: gids, by the test itself
        self.server = patroni.Cluster(SETTINGS, door=self._door)

    def _door(self, port):
        """In front of each server, for those that follow it."""
        door = pgproxy.Proxy(port)
        door.__enter__()
        self.doors.append(door)
        return door.port

    def log_of(self, i):
        return self.url()

    def url(self, port=None):
        return self.server.url(self.database)

    def start_store(self):
        self.server.start()
        self.database = self.server.new_database()

    def close(self):
        super().close()
        for door in self.doors:
            door.__exit__(None, None, None)

    def _member_argv(self, i):
        return super()._member_argv(i) + ["--store-failover", "lossless"]

    def answers(self):
        """Of committed transactions, so far."""
        count = 0
        for i in range(len(self.initiators)):
            if os.path.exists(self.journal(i)):
                with open(self.journal(i), encoding="utf-8", errors="replace") as journal:
                    count += sum(line.startswith("told ") and line.endswith("committed\n") for line in journal)
        return count

    def goes_on(self, what):
        before = self.answers()
        if not rigs.until(lambda: self.answers() >= before + ANSWERS, GOES_ON_WITHIN_S, self.tick):
            raise RuntimeError(what + ": nothing goes on: " + " ".join(m.last_words()[-1500:] for m in self.members))

    def wait(self, condition, seconds, what):
        if not rigs.until(condition, seconds, self.tick):
            raise RuntimeError("never: " + what)

    def _quietly(self, work):
        """Of what is said meanwhile nobody learns anything: it would only have to be looked through in the end."""
        for initiator in self.initiators:
            initiator.pause(3600)
        found = work()
        for initiator in self.initiators:
            initiator.resume()
        return found

    def await_whole(self, **how):
        self._quietly(lambda: self.server.await_whole(**how))

    def await_leader(self, other_than):
        rigs.until(lambda: False, 1, self.tick)
        return self._quietly(lambda: self.server.await_leader(other_than=other_than))

    def generation(self):
        return int(self.sql(losses.GENERATION))

    def starts(self):
        return [member.starts for member in self.members]


def note(begun, what):
    print(f"{time.monotonic() - begun:5.1f} s  {what}", flush=True)


def the_leader_is_killed(rig):
    starts, generation, old = rig.starts(), rig.generation(), rig.server.leader()
    old.kill()
    rig.await_leader(other_than=old)
    rig.goes_on("the leader was killed, another one leads")
    assert rig.starts() == starts, f"coordinators do not go on by themselves: {rig.starts()}"
    assert rig.generation() == generation, "nothing was lost, and the generation rises"
    old.start()
    rig.await_whole()


def a_switchover(rig):
    starts, generation, old = rig.starts(), rig.generation(), rig.server.leader()
    standby = next(name for name, member in rig.server.members().items() if member["role"] == "sync_standby")
    rig.server.ctl("switchover", "--leader", old.name, "--candidate", standby, "--force")
    assert rig.await_leader(other_than=old).name == standby
    rig.goes_on("a switchover")
    assert rig.starts() == starts, f"coordinators do not go on by themselves: {rig.starts()}"
    assert rig.generation() == generation, "nothing was lost, and the generation rises"
    rig.await_whole()


def a_leader_without_its_patroni(rig):
    """Nobody tells the old server that it does not lead any more. It takes writes and acknowledges none: its standby follows another.
    Who is connected to it waits, until its Patroni is there again."""
    old = rig.server.leader()
    old.kill_patroni()
    new = rig.await_leader(other_than=old)
    assert old.takes_writes() and new.takes_writes()
    old.start()
    rig.wait(lambda: not old.takes_writes(), GOES_ON_WITHIN_S, "the old leader follows")
    rig.goes_on("the old leader's Patroni is back")
    rig.await_whole()


def a_new_one(rig):
    """How it is refused. Who asks a lane that has not noticed yet waits, like all that was asked for before."""
    wire, stub = audit.wire, audit.Door(f"127.0.0.1:{rig.ports[0]}").stub
    gid = f"while-away-{len(rig.asked)}"
    rig.asked.append(gid)
    branch = wire.branch("bank0", action="book", protocol=wire.types.SAGA, branch_id="1", payload=b"0 0")
    try:
        stub.Submit(wire.tx.SubmitRequest(transaction=wire.spec(gid, branch, deadline_ms=30_000)), timeout=2)
    except audit.grpc.RpcError as error:
        return error.code()
    raise AssertionError("begun, without a database")


def etcd_is_gone(rig):
    """Then Patroni lets nobody lead. To the coordinators it is a database that is away."""
    starts = rig.starts()
    leader = rig.server.leader()
    rig.server.kill_etcd()
    rig.wait(lambda: not leader.takes_writes(), GOES_ON_WITHIN_S, "a leader that steps back")
    rig.wait(lambda: all("event=log_away" in m.last_words().rsplit("event=log_back", 1)[-1] for m in rig.members), GOES_ON_WITHIN_S,
             "coordinators that say so")
    rig.wait(lambda: a_new_one(rig) == audit.grpc.StatusCode.UNAVAILABLE, GOES_ON_WITHIN_S, "new transactions are refused")
    rig.server.start_etcd()
    rig.goes_on("etcd is back")
    assert rig.starts() == starts, f"a database that was away has cost somebody his slots: {rig.starts()}"
    rig.await_whole()


def a_promotion_that_loses_commits(rig):
    """Which is what synchronous_mode is there against. While the new leader comes, the coordinators are stopped, so that what it has can
    be compared with what the old one had."""
    rig.server.ctl("edit-config", "--force", "-q", "-s", "synchronous_mode=false", "-s", "synchronous_mode_strict=false")
    rig.wait(lambda: rig.server.sql("postgres", "SHOW synchronous_standby_names") == "", GOES_ON_WITHIN_S, "asynchronous")
    rig.await_whole(synchronous=False)
    old, generation = rig.server.leader(), rig.generation()
    door = rig.doors[rig.server.nodes.index(old)]
    replication = [link for link in door.links.values() if "replication" in link.startup]
    assert len(replication) == len(rig.server.nodes) - 1
    for link in replication:
        door.hold(pgproxy.backend("d"), link=link)
    rig.goes_on("nobody follows")
    for member in rig.members:
        member.pause(3600)
    old.kill()
    door.cut_all()
    with rig.server.copy_of(old) as copy:
        new = rig.await_leader(other_than=old)
        after = losses.Snapshot(lambda text: new.sql(rig.database, text))
        rig.note_loss(losses.Loss(losses.Snapshot(lambda text: copy.sql(rig.database, text)), after))
    assert rig.regressed and rig.lost, "nothing acknowledged is lost: the test is not what it says"
    for member in rig.members:
        member.resume()
    rig.await_noticed()
    assert rig.tally["exit 76 of node"] >= 1, f"nobody ended with 76: {rig.tally}"
    assert rig.generation() == generation + 1, f"{generation}, then {rig.generation()}"
    rig.goes_on("commits were lost, and all have noticed")


def check(rig):
    rig.heal()
    rig.end_initiators()
    journals = audit.Journals()
    for i in range(len(rig.initiators)):
        journals.read(rig.journal(i))
    for gid in rig.asked:
        journals.take("test", ["plan", gid])
        journals.take("test", ["branch", gid, "1", "0", "1", "0", "book"])
    found = audit.Audit(rig)
    found.await_rest(journals)
    found.compare(journals)
    found.store()
    print(dict(found.counts), dict(rig.tally), flush=True)
    assert found.counts["COMMITTED"] > 5 * ANSWERS


def main():
    folder = tempfile.mkdtemp(prefix="assent-cluster-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    rig, begun = PatroniRig(folder), time.monotonic()
    try:
        rig.start()
        note(begun, "three servers, three coordinators")
        for story in (the_leader_is_killed, a_switchover, a_leader_without_its_patroni, etcd_is_gone):
            story(rig)
            note(begun, story.__name__.replace("_", " "))
        a_promotion_that_loses_commits(rig)
        note(begun, "a promotion that loses commits")
        check(rig)
        note(begun, "nothing else is lost, nothing is split")
    except BaseException:
        rig.finding("the story ends here")
        raise
    finally:
        rig.close()
        if rig.findings:
            print("kept: " + folder)
        else:
            shutil.rmtree(folder)
    return int(bool(rig.findings))


if __name__ == "__main__":
    sys.exit(main())

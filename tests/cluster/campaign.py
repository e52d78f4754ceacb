#!/usr/bin/python3
"""Three coordinators on one PostgreSQL, four banks, initiators that ask for transfers; and what can go wrong between them.

    campaign.py --faults N [--seed S]       so many faults, by chance, in rounds; after each round all must be right
    campaign.py --take-overs N [--seed S]   so many deaths under load, one after the other: how long until others serve

Faults: a coordinator killed, stopped for up to four leases, asked to leave; a bank killed; sessions of the database ended, the
database killed; and in the proxy between each coordinator and the database a message held, and then let go, cut in the middle, or
let through when its sender has long been given up (tests/cluster/README.md).

Checked at rest: the books balance, nobody holds anything, each transaction has one outcome at every coordinator and for
everybody who was told one, and the store has taken no group of a member after its fence. Exit status 0: all right; 1: not, and
the folder stays.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time

import grpc

import audit
import pgproxy
import rig as rigs
import strangers
import wire

ROUND_FAULTS = 40
GROUP_MESSAGES = 9  # a Sync with so many messages before it ends a group; others are shorter


def fnv1a(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001b3) & 0xffffffffffffffff
    return value


def statement(name):
    """The Bind of a prepared statement of a group append."""
    return pgproxy.frontend("B", b"\0" + name.encode() + b"\0")


def group_sync(message):
    return message.side == pgproxy.FRONTEND and message.kind == b"S" and message.since_sync >= GROUP_MESSAGES


COMMITTED = pgproxy.backend("C", b"COMMIT")


class Later:
    """What is to be done in a while, in the rig's thread."""

    def __init__(self):
        self.due = []

    def add(self, seconds, act):
        self.due.append((time.monotonic() + seconds, act))

    def tick(self):
        now = time.monotonic()
        ready = [act for at, act in self.due if at <= now]
        self.due = [(at, act) for at, act in self.due if at > now]
        for act in ready:
            act()


class Faults:
    def __init__(self, rig, dice):
        self.rig, self.dice, self.later = rig, dice, Later()
        self.kinds = [(self.kill, 16), (self.stop, 16), (self.leave, 5), (self.kill_bank, 5), (self.end_backends, 8),
                      (self.kill_store, 5), (self.late_group, 14), (self.late_rows, 8), (self.half_sent, 8),
                      (self.held_over_a_fence, 10), (self.cut_inside, 6), (self.answer_lost, 10), (self.held, 5)]
        if rig.gates:
            self.kinds += [(self.line_cut, 4), (self.line_slow, 4), (self.line_one_way, 6)]
        if rig.paired:
            self.kinds.append((self.promote, 8) if rig.paired == "synchronous" else (self.promote_behind, 14))

    def strike(self):
        act = self.dice.choices([kind for kind, _ in self.kinds], [weight for _, weight in self.kinds])[0]
        if act():
            self.rig.tally[act.__name__] += 1
            return True
        return False

    def tick(self):
        self.later.tick()
        self.rig.tick()

    def _member(self):
        """One that is up, if enough others are."""
        up = [i for i, member in enumerate(self.rig.members) if member.up()]
        return self.dice.choice(up) if len(up) > 1 else None

    def _leases(self, low, high):
        return self.dice.uniform(low, high) * self.rig.lease_s

    def kill(self):
        i = self._member()
        if i is not None:
            self.rig.members[i].kill(self.dice.choice([0, 0, self._leases(0, 0.5), self._leases(1, 2)]))
        return i is not None

    def stop(self):
        i = self._member()
        if i is not None:
            self.rig.members[i].pause(self._leases(0, 4))
        return i is not None

    def leave(self):
        i = self._member()
        if i is not None:
            self.rig.members[i].leave()
        return i is not None

    def kill_bank(self):
        bank = self.dice.choice(self.rig.banks)
        if bank.up():
            bank.kill(self._leases(0, 0.3))
            return True
        return False

    def end_backends(self):
        self.rig.end_backends(self.dice.choice([1, 1, 2, 20]))
        return True

    def kill_store(self):
        self.rig.kill_store(self.dice.uniform(0.05, 1.5))
        return True

    def promote(self):
        self.rig.promote(self.dice.choice([0, self._leases(0.1, 2)]))
        return True

    def promote_behind(self):
        """It lacks what the primary did last."""
        self.rig.promote_behind(self._leases(0.05, 0.6))
        return True

    def _line(self, begin):
        """What others, and clients, say to one member; and after a while all is well again."""
        gate = self.dice.choice(self.rig.gates)
        begin(gate)

        def mend():
            gate.heal()
            gate.cut_all()
        self.later.add(self._leases(0.1, 4), mend)
        return True

    def line_cut(self):
        def begin(gate):
            gate.refusing = True
            gate.cut_all()
        return self._line(begin)

    def line_slow(self):
        delay_s = self.dice.choice([0.02, 0.2, 1])

        def begin(gate):
            gate.delay_s = delay_s
        return self._line(begin)

    def line_one_way(self):
        """What is asked arrives and no answer comes back; or the other way round."""
        side = self.dice.choice([pgproxy.FRONTEND, pgproxy.BACKEND])
        return self._line(lambda gate: gate.hold_all(side))

    def _trap(self, matches, inside=0, seconds=2.0):
        """The member whose message was caught, and its link."""
        i = self._member()
        if i is None:
            return None, None
        trap = self.rig.proxies[i].hold(matches, inside=inside)
        if rigs.until(trap.sprung.is_set, seconds, self.tick):
            return i, trap.caught
        self.rig.proxies[i].disarm(trap)
        if trap.caught:  # meanwhile
            trap.caught.release()
        return None, None

    def late_group(self):
        """Held as a whole, or from any statement on; its sender gives up, settles, goes on; then it arrives."""
        return self._lost(self.dice.choice([statement("begin"), statement("fence"), statement("commit"), group_sync]), 0)

    def late_rows(self):
        """Behind its fence, where it holds the lane's lock."""
        return self._lost(lambda message: statement("commit")(message), 0)

    def half_sent(self):
        return self._lost(self.dice.choice([group_sync, statement("commit")]), self.dice.choice([1, 3]))

    def _lost(self, matches, inside):
        _, link = self._trap(matches, inside)
        if link is None:
            return False
        link.lose_client()
        self.later.add(self.dice.choice([self._leases(0, 0.2), self._leases(0.2, 1), self._leases(1, 3)]), link.release)
        return True

    def held_over_a_fence(self):
        """The group stands between two statements while its owner is stopped for longer than its lease: others take over."""
        i, link = self._trap(self.dice.choice([statement("begin"), statement("fence"), statement("commit"), group_sync]))
        if link is None:
            return False
        if self.rig.members[i].up():
            self.rig.members[i].pause(self._leases(2, 4))
        self.later.add(self._leases(1.5, 4), link.release)
        return True

    def cut_inside(self):
        _, link = self._trap(self.dice.choice([statement("fence"), statement("commit"), pgproxy.frontend("B")]),
                             self.dice.choice([1, 6, 11]))
        if link is None:
            return False
        link.cut()
        return True

    def answer_lost(self):
        """It is committed, and nobody hears of it."""
        _, link = self._trap(COMMITTED)
        if link is None:
            return False
        self.later.add(self.dice.choice([0, self._leases(0, 0.5)]), link.cut)
        return True

    def held(self):
        """Slow, and in the end nothing is lost."""
        _, link = self._trap(self.dice.choice([COMMITTED, group_sync, statement("fence"), pgproxy.frontend("Q")]))
        if link is None:
            return False
        self.later.add(self._leases(0, 1.5), link.release)
        return True


class Probe(threading.Thread):
    """Asks the survivors for new transactions in some of the victim's slots, from its death on, until each is committed."""

    SLOTS, PATIENCE_S = 6, 60

    def __init__(self, rig, number, victim, epoch, slots, dice):
        super().__init__(daemon=True)
        self.rig, self.epoch, self.begun = rig, epoch, time.monotonic()
        self.doors = [audit.Door(f"127.0.0.1:{port}") for i, port in enumerate(rig.ports) if i != victim]
        self.gids = [self._gid(number, slot) for slot in dice.sample(slots, min(self.SLOTS, len(slots)))]
        self.moved_s = self.served_s = None

    def _gid(self, number, slot):
        k = 0
        while fnv1a(gid := f"probe-{number}-{slot}-{k}") % self.rig.slots_count != slot:
            k += 1
        return gid

    def run(self):
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        for gid in self.gids:
            while not self._submit(gid):
                if time.monotonic() - self.begun > self.PATIENCE_S:
                    return
        self.served_s = time.monotonic() - self.begun
        watcher.join(self.PATIENCE_S)

    def _watch(self):
        while time.monotonic() - self.begun < self.PATIENCE_S:
            if self.rig.server.sql(self.rig.database, f"SELECT count(*) FROM assent.slot WHERE owner = {self.epoch}") == "0":
                self.moved_s = time.monotonic() - self.begun
                return
            time.sleep(0.02)

    def _submit(self, gid):
        self.doors.append(self.doors.pop(0))  # as a client does that knows them all
        branch = wire.branch("bank0", action="book", protocol=wire.types.SAGA, branch_id="1", payload=b"0 0")
        request = wire.tx.SubmitRequest(transaction=wire.spec(gid, branch, deadline_ms=30_000))
        try:
            return self.doors[0].stub.Submit(request, timeout=1).outcome == wire.types.COMMITTED
        except grpc.RpcError:
            time.sleep(0.02)
            return False

    def announce(self, journals):
        for gid in self.gids:
            journals.take("probe", ["plan", gid])
            journals.take("probe", ["branch", gid, "1", "0", "1", "0", "book"])
            journals.take("probe", ["told", gid, "Submit", "COMMITTED"])


def check(rig, probes=(), asked=()):
    """All the faults have ended; so everything comes to rest, and is right."""
    rig.heal()
    rig.end_initiators()
    journals = audit.Journals()
    for stranger in asked:
        stranger.end(journals)
    for i in range(len(rig.initiators)):
        journals.read(rig.journal(i))
    for probe in probes:
        if probe.served_s is not None:
            probe.announce(journals)
    whole = audit.Audit(rig)
    whole.await_rest(journals)
    whole.compare(journals)
    whole.store()
    return whole.counts


def run_faults(rig, options, dice):
    faults, counts, asked = Faults(rig, dice), {}, []
    end = time.monotonic() + options.minutes * 60
    struck = 0
    while struck < options.faults and time.monotonic() < end:
        for initiator in rig.initiators:
            if not initiator.starts:
                initiator.start()
        asked.append(strangers.Stranger(rig, len(asked)))
        asked[-1].start()
        for _ in range(min(ROUND_FAULTS, options.faults - struck)):
            struck += faults.strike()
            pause = time.monotonic() + dice.uniform(0, 0.25) * rig.lease_s
            while time.monotonic() < pause:
                faults.tick()
                time.sleep(0.01)
        faults.later.due.clear()
        counts = check(rig, asked=asked)
        print(f"{struck} faults, {counts['transactions']} transactions, {len(rig.findings)} findings", flush=True)
        if rig.findings:
            break
    if not rig.findings and struck < options.faults:
        rig.finding(f"only {struck} of {options.faults} faults in {options.minutes} minutes")
    return counts, struck


def run_take_overs(rig, options, dice):
    probes = []
    while len(probes) < options.take_overs:
        victim = dice.randrange(len(rig.members))
        epoch = rig.epoch_of(rig.members[victim])
        probe = Probe(rig, len(probes), victim, epoch, rig.slots_of(epoch), dice)
        rig.members[victim].kill(down_s=3600)
        probe.begun = time.monotonic()
        probe.start()
        if not rigs.until(lambda p=probe: not p.is_alive(), 2 * Probe.PATIENCE_S, rig.tick) or probe.served_s is None:
            rig.finding(f"nobody serves the slots of {rig.members[victim].name} after its death")
            break
        probes.append(probe)
        print(f"take-over {len(probes)}: moved {probe.moved_s:.2f} s, served {probe.served_s:.2f} s", flush=True)
        rig.members[victim].due = 0.0
        if not rig.settled(rigs.STARTS_WITHIN_S):
            rig.finding("the newcomer does not get its share")
            break
    return check(rig, probes=probes), probes


def percentiles(seconds):
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"p50": round(statistics.median(ordered), 2), "p99": round(p99, 2), "max": round(ordered[-1], 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--take-overs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--promotions", action="store_const", const="synchronous", dest="standby",
                        help="the store is a synchronous pair, and its standby is promoted")
    parser.add_argument("--losses", action="store_const", const="asynchronous", dest="standby",
                        help="an asynchronous pair, whose standby lacks something when it is promoted")
    parser.add_argument("--lease", type=float, help="seconds; 1 with --faults, 3 (as the daemon's) with --take-overs")
    parser.add_argument("--initiators", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=120, help="at most")
    parser.add_argument("--plant", choices=["lose", "early-ack"], help="the banks lie; that it is noticed is what is asked for")
    parser.add_argument("--keep", action="store_true", help="the folder stays in any case")
    options = parser.parse_args()
    if not options.faults and not options.take_overs:
        parser.error("--faults N or --take-overs N")
    dice = random.Random(options.seed)
    folder = tempfile.mkdtemp(prefix="assent-cluster-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    rig = rigs.Rig(folder, lease_s=options.lease or (3.0 if options.take_overs else 1.0), initiators=options.initiators,
                   seed=options.seed, standby=options.standby, gates=options.faults > 0, plant=options.plant)
    begun, struck, probes, counts = time.monotonic(), 0, [], {}
    try:
        rig.start()
        if options.faults:
            counts, struck = run_faults(rig, options, dice)
        if options.take_overs and not rig.findings:
            counts, probes = run_take_overs(rig, options, dice)
        rig.end_members()
    except Exception as error:  # pylint: disable=broad-except
        rig.finding(f"{type(error).__name__}: {error}")
        raise
    finally:
        rig.close()
        if options.keep or rig.findings and not options.plant:
            print("kept: " + folder)
        else:
            shutil.rmtree(folder)
    result = {"seed": options.seed, "faults": struck, "minutes": round((time.monotonic() - begun) / 60, 1),
              "tally": dict(rig.tally), **counts, "findings": len(rig.findings)}
    if probes:
        result["moved s"] = percentiles([probe.moved_s for probe in probes])
        result["served s"] = percentiles([probe.served_s for probe in probes])
    print(json.dumps(result, indent=1))
    return int(bool(rig.findings) != bool(options.plant))


if __name__ == "__main__":
    sys.exit(main())

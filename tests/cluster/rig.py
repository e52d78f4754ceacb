"""Real processes of a cluster: PostgreSQL, a proxy in front of it for each coordinator, three coordinators, the banks of
tests/crash and their initiators; and what can be done to them.

One thread. A coordinator that ends is started again at once, as a supervisor does, unless it is to stay down for a while; one
that ends by itself with a status that nobody expects is a finding.
"""

import collections
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
for folder in ("support", "grpc"):
    sys.path.insert(0, os.path.join(ROOT, "tests", folder))

import losses  # noqa: E402
import pgproxy  # noqa: E402
import postgresql  # noqa: E402

BIN = os.environ.get("ASSENT_BIN_DIR", os.path.join(ROOT, "build", "release", "bin"))
BANKS, DIALLED_BANK = 4, 3  # tests/crash/campaign/initiator.h
ACCOUNTS, OPENING_BALANCE = 40, 1000
LOG_FAILED, FENCED, REGRESSED = 74, 75, 76
STARTS_WITHIN_S, STOPS_WITHIN_S = 60, 60

# What the store itself writes down of each fence, each move, and each group that commits behind the fence of its lane, in their own
# transaction; the product knows nothing of it. A group is looked at when it commits, not when it begins.
AUDIT = """
CREATE SCHEMA audit;
CREATE TABLE audit.late (epoch bigint, lane smallint, seq bigint, at timestamptz);
CREATE TABLE audit.fenced (epoch bigint, lane smallint, seq bigint, at timestamptz);
CREATE TABLE audit.moved (id smallint, slot_epoch bigint, was bigint, owner bigint, at timestamptz);
CREATE FUNCTION audit.on_fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit.fenced SELECT NEW.epoch, NEW.lane, coalesce(max(seq), 0), clock_timestamp()
    FROM assent.batch WHERE epoch = NEW.epoch AND lane = NEW.lane;
  RETURN NULL; END $$;
CREATE FUNCTION audit.on_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit.moved VALUES (NEW.id, NEW.slot_epoch, OLD.owner, NEW.owner, clock_timestamp());
  RETURN NULL; END $$;
CREATE FUNCTION audit.on_group() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit.late SELECT NEW.epoch, NEW.lane, NEW.seq, clock_timestamp()
    FROM assent.lane WHERE epoch = NEW.epoch AND lane = NEW.lane AND fenced;
  RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER on_group AFTER INSERT ON assent.batch DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION audit.on_group();
CREATE TRIGGER on_fence AFTER UPDATE OF fenced ON assent.lane FOR EACH ROW
  WHEN (NEW.fenced AND NOT OLD.fenced) EXECUTE FUNCTION audit.on_fence();
CREATE TRIGGER on_move AFTER UPDATE OF owner ON assent.slot FOR EACH ROW
  WHEN (NEW.owner <> OLD.owner) EXECUTE FUNCTION audit.on_move()"""

LATE_GROUPS = """SELECT greatest((SELECT count(*) FROM audit.late), (SELECT count(*) FROM assent.batch b
  JOIN audit.fenced f ON f.epoch = b.epoch AND f.lane = b.lane WHERE b.seq > f.seq))"""
TWO_OWNERS = """SELECT count(*) FROM (SELECT 1 FROM audit.moved
  GROUP BY id, slot_epoch HAVING count(*) > 1) AS twice"""


def until(condition, seconds, tick=lambda: None):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        tick()
        time.sleep(0.02)
    return True


class Actor:
    """A process that is started again when it has ended, at once or when it is `due`."""

    def __init__(self, rig, name, argv):
        self.rig, self.name, self.argv = rig, name, argv
        self.process, self.due, self.continues, self.leaving = None, 0.0, None, False
        self.log = os.path.join(rig.folder, name + ".log")
        self.starts = self.log_from = self.started = 0

    def start(self):
        self.starts += 1
        self.leaving, self.started = False, time.monotonic()
        self.log_from = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as output:
            # Gone with us, however we go: so it is started by the thread that lives longest.
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *self.argv()],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def up(self):
        return self.running() and self.continues is None and not self.leaving

    def kill(self, down_s=0.0):
        self.process.kill()
        self.process.wait()
        self.continues = None
        self.due = time.monotonic() + down_s
        self.process = None

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        self.continues = time.monotonic() + seconds

    def resume(self):
        if self.continues is not None and self.process:
            self.process.send_signal(signal.SIGCONT)
        self.continues = None

    def leave(self):
        self.leaving = True
        self.process.send_signal(signal.SIGTERM)

    def tick(self, now):
        if self.process is None:
            if now >= self.due:
                self.start()
            return
        status = self.process.poll()
        if status is not None:
            self.process, self.continues, self.due = None, None, now
            if not (self.leaving and status in (0, -signal.SIGTERM, 128 + signal.SIGTERM)):
                self.rig.ended(self, status)
        elif self.continues is not None and now >= self.continues:
            self.resume()

    def last_words(self):
        """Of this start."""
        with open(self.log, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")


class Rig:
    def __init__(self, folder, members=3, initiators=2, lease_s=3.0, shards=2, seed=1, standby=None, gates=False, plant=None):
        """`standby`: the store is a pair, "synchronous" or "asynchronous". `gates`: what others say to a member comes through one.
        `plant`: in what way the banks lie."""
        self.plant = plant
        self.folder, self.lease_s, self.shards, self.seed = folder, lease_s, shards, seed
        self.tally, self.findings = collections.Counter(), []
        self.server, self.standby, self.paired = postgresql.Server(), None, standby
        self.ports = [postgresql.free_port() for _ in range(members)]
        self.endpoints = ",".join(f"127.0.0.1:{port}" for port in self.ports)  # past the gates
        self.dialled = f"127.0.0.1:{postgresql.free_port()}"
        self.proxies, self.replication = [], None
        self.gates = [pgproxy.Proxy(port, opaque=True) for port in self.ports] if gates else []
        # What promotions have lost; of which transactions; and what of those has been undone by hand, (gid, branch).
        self.losses, self.lost, self.undone = [], set(), set()
        self.members = [Actor(self, f"node{i}", lambda i=i: self._member_argv(i)) for i in range(members)]
        self.banks = [Actor(self, f"bank{i}", lambda i=i: self._bank_argv(i)) for i in range(BANKS)]
        self.initiators = [Actor(self, f"initiator{i}", lambda i=i: self._initiator_argv(i)) for i in range(initiators)]

    # ---- what runs ----

    def _member_argv(self, i):
        return [os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", f"127.0.0.1:{self.ports[i]}", "--log", self.log_of(i),
                "--advertise", self.reached_at(i), "--node", f"node{i}", "--lease-seconds", str(int(self.lease_s)),
                "--shards", str(self.shards), "--drain-seconds", "1", "--keepalive-seconds", "3",
                "--unary", f"bank{DIALLED_BANK}={self.dialled}"]

    def _bank_argv(self, i):
        where = "serve=" + self.dialled if i == DIALLED_BANK else self.endpoints
        return [os.path.join(BIN, "crash-bank"), f"bank{i}", self.bank_file(i), where, *([self.plant] if self.plant else [])]

    def _initiator_argv(self, i):
        actor = self.initiators[i]
        return [os.path.join(BIN, "campaign-initiator"), self.endpoints, self.journal(i),
                str(self.seed * 10_000 + i * 1000 + actor.starts)]

    def bank_file(self, i):
        return os.path.join(self.folder, f"bank{i}.db")

    def journal(self, i):
        return os.path.join(self.folder, f"initiator{i}.journal")

    def url(self, port=None):
        return f"postgresql://{postgresql.USER}@127.0.0.1:{port or self.server.port}/{self.database}"

    def reached_at(self, i):
        return f"127.0.0.1:{(self.gates[i].port if self.gates else self.ports[i])}"

    def log_of(self, i):
        return self.url(self.proxies[i].port)

    def start_store(self):
        self.server.start()
        self.database = self.server.new_database()
        if self.paired:
            self.pair()
        for _ in self.ports:
            proxy = pgproxy.Proxy(self.server.port)
            proxy.__enter__()
            self.proxies.append(proxy)

    def start(self):
        self.start_store()
        for gate in self.gates:
            gate.__enter__()
        for bank in self.banks:
            bank.start()
        self.members[0].start()
        if not until(lambda: self.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'assent' AND "
                                      "table_name = 'slot'") == "1" and self.owned() > 0, STARTS_WITHIN_S, self.tick):
            raise RuntimeError("the first coordinator does not come up: " + self.members[0].last_words())
        self.sql(AUDIT)
        self.slots_count = int(self.sql("SELECT slots FROM assent.log"))
        for member in self.members[1:]:
            member.start()
        if not self.settled(STARTS_WITHIN_S):
            raise RuntimeError("the slots are not shared: " + " ".join(m.last_words()[-1500:] for m in self.members))
        for initiator in self.initiators:
            initiator.start()

    def close(self):
        for actor in self.actors():
            if actor.process and actor.process.poll() is None:
                actor.process.kill()
                actor.process.wait()
        for proxy in self.proxies + self.gates + ([self.replication] if self.replication else []):
            proxy.__exit__(None, None, None)
        self.server.close()
        if self.standby:
            self.standby.close()

    def actors(self):
        return self.initiators + self.members + self.banks

    def tick(self):
        now = time.monotonic()
        for actor in self.actors():
            if actor.starts:
                actor.tick(now)

    def ended(self, actor, status):
        """By itself. A start that loses its store before it has read what is in it may give up."""
        self.tally[f"exit {status} of {actor.name.rstrip('0123456789')}"] += 1
        words = actor.last_words()
        if actor in self.members and (status == FENCED or status == LOG_FAILED and "event=recovered" not in words):
            return
        # Whoever was there when commits were lost may have lost some of his own, or what he was just reading.
        if actor in self.members and any(actor.started < loss.at for loss in self.losses) and (
                status == REGRESSED and "event=log_regressed" in words or
                status == LOG_FAILED and "another server has taken over" in words):
            return
        self.finding(f"{actor.name} ended by itself with {status}: {words[-1500:]}")

    def finding(self, sentence):
        self.findings.append(sentence)
        print("FOUND: " + sentence, flush=True)

    # ---- what the store says ----

    def sql(self, text):
        """Of the primary itself, past the proxies. Waits for it."""
        end = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                return self.server.sql(self.database, text)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                self.tick()
                time.sleep(0.05)

    def owned(self):
        return int(self.sql("SELECT count(*) FROM assent.slot WHERE owner <> 0"))

    def epoch_of(self, member):
        """Of the start that is now, or was last, by its name."""
        found = self.sql(f"SELECT coalesce(max(epoch), 0) FROM assent.member WHERE node = '{member.name}'")
        return int(found)

    def slots_of(self, epoch):
        return [int(slot) for slot in self.sql(f"SELECT id FROM assent.slot WHERE owner = {epoch} ORDER BY id").split()]

    def settled(self, seconds):
        """Every member is in the cluster, and has its share."""
        def shared():
            shares = self.sql("SELECT count(*) FROM assent.slot s JOIN assent.member m ON m.epoch = s.owner AND NOT m.ended "
                              "GROUP BY s.owner").split()
            return len(shares) == len(self.members) and min(map(int, shares)) * 2 * len(shares) > sum(map(int, shares))
        return until(shared, seconds, self.tick)

    # ---- what is done to it ----

    def kill_store(self, down_s):
        self.server.kill()
        end = time.monotonic() + down_s
        while time.monotonic() < end:
            self.tick()
            time.sleep(0.01)
        self.server.start()

    def pair(self):
        """A standby, without which the primary acknowledges nothing; or one that may be kept from hearing anything."""
        if self.paired == "asynchronous":
            if self.replication is None:
                self.replication = pgproxy.Proxy(self.server.port)
                self.replication.__enter__()
            self.replication.turn_to(self.server.port)
        self.standby = postgresql.Server(primary=self.server, primary_port=self.replication and self.replication.port)
        self.standby.start()
        if self.paired == "synchronous":
            self.server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.server.sql("postgres", "SELECT pg_reload_conf()")

    def promote(self, deposed_s):
        """The primary dies, and the standby takes its place. Or it lives on for a while, and members go on asking it."""
        old, new = self.server, self.standby
        if not deposed_s:
            old.kill()
        new.promote()
        end = time.monotonic() + deposed_s
        while time.monotonic() < end:
            self.tick()
            time.sleep(0.01)
        for proxy in self.proxies:
            proxy.turn_to(new.port)
        old.close()
        self.server = new
        self.pair()

    def promote_behind(self, behind_s):
        """The primary dies, and its standby has not heard of what it did last. Before anybody comes to the new one it is compared with
        what the old one had."""
        old, new = self.server, self.standby
        self.replication.hold_all(pgproxy.BACKEND)
        end = time.monotonic() + behind_s
        while time.monotonic() < end:
            self.tick()
            time.sleep(0.01)
        for proxy in self.proxies:
            proxy.refusing = True
            proxy.turn_to(new.port)
        old.kill()
        self.replication.turn_to(new.port)
        new.promote()
        after = losses.Snapshot(lambda text: new.sql(self.database, text))
        old.start()
        self.note_loss(losses.Loss(losses.Snapshot(lambda text: old.sql(self.database, text)), after))
        old.close()
        self.server = new
        for proxy in self.proxies:
            proxy.refusing = False
        self.pair()

    def note_loss(self, loss):
        """Whose acknowledged groups are gone does not live on."""
        self.losses.append(loss)
        self.lost |= loss.gids
        self.tally["transactions lost"] += len(loss.gids)
        self.tally["groups lost"] += sum(loss.groups.values())
        self.regressed = loss.regressed(self.members)

    def await_noticed(self):
        if not self.losses:
            return
        if not until(lambda: not any(member.process is process for member, process in self.regressed), STARTS_WITHIN_S, self.tick):
            self.finding("the store has lost what it had acknowledged to them, and they go on: " +
                         ", ".join(member.name for member, process in self.regressed if member.process is process))
        if not until(lambda: int(self.sql(losses.GENERATION)) > self.losses[-1].generation, STARTS_WITHIN_S, self.tick):
            self.finding("a promotion has lost commits, and the store's generation does not rise")

    def end_backends(self, count):
        self.sql("SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
                 f"AND pid <> pg_backend_pid() AND datname = current_database() ORDER BY random() LIMIT {count}) AS drawn")

    def heal(self):
        for proxy in self.proxies + self.gates:
            proxy.heal()
        for actor in self.actors():
            actor.resume()
            actor.due = 0.0
        self.await_noticed()
        if not until(lambda: all(a.up() for a in self.members + self.banks), STARTS_WITHIN_S, self.tick):
            self.finding("with all faults gone, not everything is up again")
        if not self.settled(STARTS_WITHIN_S):
            self.finding("with all faults gone, the slots are not shared: " +
                         self.sql("SELECT owner, wanted, count(*) FROM assent.slot GROUP BY 1, 2") + " among " +
                         self.sql("SELECT epoch, node, ended, draining FROM assent.member ORDER BY epoch"))

    def end_initiators(self):
        for initiator in self.initiators:
            initiator.resume()
            if initiator.process and initiator.process.poll() is None:
                initiator.leave()
        for initiator in self.initiators:
            if initiator.process:
                if not until(lambda a=initiator: a.process.poll() is not None, STOPS_WITHIN_S, self._tick_others):
                    self.finding(initiator.name + " does not end")
                    initiator.process.kill()
                    initiator.process.wait()
                initiator.process = None
            initiator.starts = 0  # no more

    def _tick_others(self):
        now = time.monotonic()
        for actor in self.members + self.banks:
            actor.tick(now)

    def end_members(self):
        for member in self.members:
            member.leave()
        for member in self.members:
            if not until(lambda m=member: m.process.poll() is not None, STOPS_WITHIN_S):
                self.finding(member.name + " does not end when asked to: " + member.last_words())
                continue
            if member.process.returncode != 0:
                self.finding(f"{member.name} ended with {member.process.returncode} when asked to: {member.last_words()}")
            member.process, member.starts = None, 0

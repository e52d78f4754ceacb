"""When everything has come to rest: do the books, the answers and every coordinator's own words agree? The journals are those of
tests/crash/campaign/journal.h, the books those of tests/crash/bank.h."""

import collections
import concurrent.futures
import os
import sqlite3
import time

import grpc

import rig as rigs
import wire

FINAL = {"committed": "COMMITTED", "aborted": "ABORTED"}
Branch = collections.namedtuple("Branch", "id bank tokens delta action")
READ_ONLY, PREPARED = 3, 4  # participant-sdk/cpp/barrier/barrier.h
REST_S = 60


class Entry:
    def __init__(self, journal):
        self.journal, self.branches, self.asked, self.none = journal, [], 0, 0
        self.told, self.complaints, self.held = {}, [], []  # outcome: by what

    def never_begun(self):
        return self.asked > 0 and self.asked == self.none


class Journals:
    def __init__(self):
        self.entries, self.answers = {}, 0

    def read(self, path):
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8", errors="replace") as journal:
            for line in journal:
                if line.endswith("\n") and line.strip():
                    self.take(os.path.basename(path), line.split())

    def take(self, journal, words):
        verb, gid, *rest = words
        entry = self.entries.setdefault(gid, Entry(journal))
        if verb == "branch":
            name, bank, tokens, delta, action = rest
            entry.branches.append(Branch(name, int(bank), int(tokens), int(delta), action))
        elif verb == "ask":
            entry.asked += 1
        elif verb == "none":
            entry.none += 1
        elif verb == "held":
            entry.held.append("nothing was lost, and it is said to be held: " + " ".join(rest))
        elif verb == "odd":
            entry.complaints.append("the answer can never be right: " + " ".join(rest))
        elif verb == "told":
            self.answers += 1
            entry.told.setdefault(rest[1].upper(), rest[0])


class Bank:
    """What a participant's own file says; `lost`, which may grow: transactions that a store has lost, with which people deal."""

    def __init__(self, path, lost):
        self.db, self.lost = sqlite3.connect(path, timeout=10), lost
        self.db.create_function("lost", 1, lambda gid: gid in self.lost)

    def one(self, sql):
        return self.db.execute(sql).fetchone()[0] or 0

    def held(self):
        return {"prepared": self.one("SELECT count(*) FROM assent_prepared WHERE NOT lost(gid)"),
                "claims": self.one("SELECT count(*) FROM assent_lock l LEFT JOIN assent_prepared p ON p.id = l.holder "
                                   "WHERE p.gid IS NULL OR NOT lost(p.gid)"),
                "frozen": self.one("SELECT sum(frozen) FROM account") + self.one(
                    "SELECT sum(min(delta, 0)) FROM ledger WHERE state = 'frozen' AND lost(gid)"),
                "unsettled": self.one("SELECT count(*) FROM ledger WHERE state NOT IN ('done', 'undone') AND NOT lost(gid)")}

    def held_for_people(self):
        """Of the lost ones."""
        found = self.db.execute("SELECT gid, branch_id FROM assent_prepared UNION "
                                "SELECT gid, branch_id FROM ledger WHERE state = 'frozen'")
        return {(gid, branch) for gid, branch in found if gid in self.lost}

    def prepared_for_people(self):
        """With which others' work stands in line."""
        return {(gid, branch) for gid, branch in self.db.execute("SELECT gid, branch_id FROM assent_prepared") if gid in self.lost}

    def undo(self, held):
        with self.db:
            for branch in held:
                self.db.execute("DELETE FROM assent_lock WHERE holder IN (SELECT id FROM assent_prepared WHERE gid = ? AND branch_id = ?)",
                                branch)
                self.db.execute("DELETE FROM assent_prepared WHERE gid = ? AND branch_id = ?", branch)

    def balance(self):
        """Without what is in force of the lost ones, of which the other half may not be."""
        return self.one("SELECT sum(balance + frozen) FROM account") - self.one(
            "SELECT sum(delta) FROM ledger WHERE state = 'done' AND lost(gid)")

    def branches(self):
        """Ledger, tokens and barrier by gid and branch."""
        found = collections.defaultdict(lambda: ["", 0, 0])
        for gid, branch, state in self.db.execute("SELECT gid, branch_id, state FROM ledger"):
            found[gid, branch][0] = state
        for gid, branch in self.db.execute("SELECT gid, branch_id FROM token"):
            found[gid, branch][1] += 1
        for gid, branch, state in self.db.execute("SELECT gid, branch_id, state FROM assent_barrier"):
            found[gid, branch][2] = state
        return found


class Door:
    """One coordinator, past any SDK."""

    def __init__(self, endpoint):
        self.endpoint, self.channel = endpoint, wire.connect(endpoint)
        self.stub = wire.tx_grpc.TransactionServiceStub(self.channel)

    def outcome(self, gid):
        """A final one, another state's name, None (not known), or a failure in words."""
        for attempt in range(4):
            try:
                found = self.stub.Get(wire.tx.GetRequest(gid=gid), timeout=20)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    return None
                if attempt == 3:
                    return f"{error.code().name}: {error.details()}"
                time.sleep(0.3)
                continue
            if found.state != wire.types.FINISHED:
                return "at rest " + wire.types.TransactionState.Name(found.state) + ": " + found.why_not_finished
            return wire.types.Outcome.Name(found.outcome)
        raise AssertionError

    def may_know(self, gid, branch):
        """No only if it says so: of a branch that was added to a transaction and lost again a log knows the transaction alone."""
        try:
            found = self.stub.Get(wire.tx.GetRequest(gid=gid), timeout=20)
        except grpc.RpcError as error:
            return error.code() != grpc.StatusCode.NOT_FOUND
        return any(one.spec.branch_id == branch for one in found.branches)

    def open_ones(self):
        """All that are unfinished; a failure is raised."""
        token = ""
        while True:
            page = self.stub.List(wire.tx.ListRequest(page_size=1000, page_token=token), timeout=10)
            yield from page.transactions
            token = page.next_page_token
            if not token:
                return

    def unfinished(self, lost):
        """Why not, by gid; {"": ..} while it does not answer. But for those that are lost, with which people deal; one whose initiator
        has been given up was begun again, and ends by itself at its deadline."""
        try:
            return {one.gid: one.why_not_finished for one in self.open_ones() if one.held or one.open or one.gid not in lost}
        except grpc.RpcError as error:
            return {"": f"{error.code().name}: {error.details()}"}

    def end_held(self, gid, told, books):
        """As the guide has people end what is held: `told` that it is committed, or not; and a branch that has committed says so. That
        a step is done says nothing."""
        action = wire.tx.OperatorAction(gid=gid, who="campaign", reason="what the log has lost")
        branches = self.stub.Get(wire.tx.GetRequest(gid=gid), timeout=20).branches
        specs = [one.spec for one in branches]
        tells = [one for one in specs if one.protocol != wire.types.SAGA or one.pivot]
        committed = told or any(books[int(one.service[-1])].get((gid, one.branch_id), ("",))[0] == "done" for one in tells)
        unfinished = [one.spec.branch_id for one in branches if one.state != wire.types.READ_ONLY]
        if committed and unfinished:
            self.stub.ResolveBranch(wire.tx.ResolveBranchRequest(action=action, branch_id=unfinished[0],
                                                                 resolution=wire.types.DECISION_COMMIT))
        elif specs and not any(one.protocol == wire.types.TWO_PHASE for one in specs):
            self.stub.Resume(wire.tx.ResumeRequest(action=action))
        else:
            self.stub.Abort(wire.tx.AbortRequest(action=action))


class Audit:
    def __init__(self, rig):
        self.rig, self.doors = rig, [Door(endpoint) for endpoint in rig.endpoints.split(",")]
        self.banks = [Bank(rig.bank_file(i), rig.lost) for i in range(rigs.BANKS)]
        self.counts, self.undone, self.said = collections.Counter(), rig.undone, ""

    def _unfinished(self):
        return [door.unfinished(self.rig.lost) for door in self.doors]

    def deal_with_the_lost(self):
        """As people do: what participants hold of branches that no coordinator knows stands in the way of others. Here it is undone in
        the participant's own tables, while it is down."""
        for i, bank in enumerate(self.banks):
            if mine := [held for held in bank.prepared_for_people() if not any(door.may_know(*held) for door in self.doors)]:
                self.undone.update(mine)
                self.rig.banks[i].kill(down_s=3600)
                bank.undo(mine)
                self.rig.banks[i].due = 0.0

    def end_held(self, journals):
        """What a store may have lost the decision of."""
        try:
            held = [one.gid for one in self.doors[0].open_ones() if one.held]
        except grpc.RpcError:
            return  # a later look
        for gid in held:
            told = gid in journals.entries and "COMMITTED" in journals.entries[gid].told
            try:
                self.doors[0].end_held(gid, told, [bank.branches() for bank in self.banks])
                self.counts["held, and ended by people"] += 1
            except grpc.RpcError as error:
                self.said = f"{error.code().name}: {error.details()}"

    def at_rest(self, journals):
        self.end_held(journals)
        return not any(self._unfinished())

    def await_rest(self, journals):
        if self.rig.lost:
            self.deal_with_the_lost()
        if not rigs.until(lambda: self.at_rest(journals), REST_S, self.rig.tick):
            self.rig.finding(f"unfinished {REST_S} s after the faults: {self._unfinished()} {self.said}")
        for i, bank in enumerate(self.banks):
            if not rigs.until(lambda b=bank: not any(b.held().values()), REST_S, self.rig.tick):
                self.rig.finding(f"bank{i} still holds {bank.held()}")

    def compare(self, journals):
        total, right = sum(bank.balance() for bank in self.banks), rigs.BANKS * rigs.ACCOUNTS * rigs.OPENING_BALANCE
        if total != right:
            self.rig.finding(f"the banks hold {total} together, and began with {right}")
        books = [bank.branches() for bank in self.banks]
        self.strangers(journals, books)
        gids = sorted(journals.entries)
        with concurrent.futures.ThreadPoolExecutor(4 * len(self.doors)) as pool:
            asked = [pool.map(door.outcome, gids) for door in self.doors]
            for gid, *said in zip(gids, *asked):
                for sentence in self.judge(journals.entries[gid], gid, books, said):
                    self.rig.finding(f"transaction {gid} ({journals.entries[gid].journal}): {sentence}")
                if gid in self.rig.lost:
                    self.counts["lost, and known again" if set(said) - {None} else "lost"] += 1
        self.counts["held for people"] = sum(len(bank.held_for_people()) for bank in self.banks)
        self.counts["transactions"] = len(gids)
        self.counts["answers"] = journals.answers

    def strangers(self, journals, books):
        for i, book in enumerate(books):
            for gid, branch in book:
                entry = journals.entries.get(gid)
                if entry is None or not any(b.id == branch and b.bank == i for b in entry.branches):
                    self.rig.finding(f"bank{i} has a trace of branch {branch} of {gid}, which nobody asked of it")

    def judge_lost(self, entry, gid, books, said):
        """Somebody may have been told what is not so any more. But nobody guesses: of what was said to be committed, and is absent now,
        each branch is in force, or is held until a person has looked."""
        if set(entry.told) != {"COMMITTED"}:
            return
        if "ABORTED" in said:
            for branch in entry.branches:
                if books[branch.bank].get((gid, branch.id), ("",))[0] == "undone":
                    yield f"was said to be committed, has been lost, and a coordinator has undone branch {branch.id}"
        if set(said) != {None}:
            return
        for branch in entry.branches:
            ledger = books[branch.bank].get((gid, branch.id), ("", 0, 0))[0]
            held = self.banks[branch.bank].held_for_people() | self.undone
            if branch.tokens and ledger != "done" and (gid, branch.id) not in held:
                yield f"was committed and has been lost; somebody has undone branch {branch.id} (bank{branch.bank} {branch.action})"

    def judge(self, entry, gid, books, said):
        if gid in self.rig.lost:
            yield from self.judge_lost(entry, gid, books, said)
            return
        yield from entry.complaints
        if not self.rig.losses:
            yield from entry.held
        done, not_done = [], []
        for branch in entry.branches:
            ledger, tokens, barrier = books[branch.bank].get((gid, branch.id), ("", 0, 0))
            at = f"branch {branch.id} (bank{branch.bank} {branch.action} {branch.delta})"
            if branch.tokens == 0:
                if tokens or ledger:
                    yield at + " only looks, and has left something"
                continue
            (done if ledger == "done" else not_done).append(at)
            if tokens != (ledger == "done"):
                yield f"{at} has left {tokens} tokens, and its ledger says '{ledger}'"
            if barrier in (READ_ONLY, PREPARED):
                yield f"{at}: barrier {barrier} at rest"
        if done and not_done:
            yield f"is split: in force at {done}; not at {not_done}"
        words = set(entry.told) | {word for word in said if word is not None}
        if len(words) > 1:
            yield f"has several outcomes: told {entry.told}, the coordinators say {said}"
        for word in words:
            if word not in ("COMMITTED", "ABORTED"):
                yield f"'{word}' is no outcome here (told {entry.told}, the coordinators say {said})"
            elif done if word == "ABORTED" else not_done:
                yield f"{word}, and is in force at {done}, not at {not_done}"
        if None in said and (done or words):
            yield f"some coordinator does not know it: {said}; told {entry.told}, in force at {done}"
        if entry.never_begun() and words | set(done):
            yield f"each asking was answered 'certainly not begun', and it is {words}, in force at {done}"
        self.counts[next((word for word in words if word in ("COMMITTED", "ABORTED")), "without an outcome")] += 1

    def store(self):
        """What the store wrote down of fences and moves."""
        late = int(self.rig.sql(rigs.LATE_GROUPS))
        if late:
            self.rig.finding(f"{late} groups of members after their fence")
        twice = int(self.rig.sql(rigs.TWO_OWNERS))
        if twice:
            self.rig.finding(f"{twice} slot epochs were given out twice")
        self.counts["lanes fenced"] = int(self.rig.sql("SELECT count(*) FROM audit.fenced"))
        self.counts["slot moves"] = int(self.rig.sql("SELECT count(*) FROM audit.moved"))
        self.counts["appends after grants"] = late

#!/usr/bin/python3
"""Makes tests/ctl/testdata/log-format-N.sql.gz: a log of each format with a transaction in every state, as SQL.

    python3 tests/ctl/upgrade_fixtures.py        # with assentd built; run it when there is a new format, and commit what it makes

An assentd of today runs the transactions into their states and is stopped in order. What it leaves is the newest format; an older one is made of it by
taking out what later ones added (UNDO), with the format's number in table meta and its checksum. All deadlines have passed when it is used.
"""

import gzip
import os
import sqlite3
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from daemon import Ctl, Daemon  # noqa: E402
from load import wire  # noqa: E402

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata")
NEWEST = 2
# What format N + 1 added: taken out it is format N.
UNDO = {1: "DROP TABLE age; DROP TABLE closed;"}
DEADLINE_MS = 20_000
PROTOCOLS = {"2pc": wire.types.TWO_PHASE, "tcc": wire.types.TCC, "saga": wire.types.SAGA}
FORWARD = (wire.types.PREPARE, wire.types.TRY, wire.types.ACTION)
# How a transaction ends once everybody answers. Undecided ones are aborted: their deadline has passed.
OUTCOMES = {
    "2pc-active": "ABORTED", "tcc-active": "ABORTED", "saga-active": "ABORTED", "open": "ABORTED",
    "2pc-committing": "COMMITTED", "tcc-committing": "COMMITTED", "saga-committing": "COMMITTED",
    "2pc-aborting": "ABORTED", "tcc-aborting": "ABORTED", "saga-aborting": "ABORTED",
    "suspended": "COMMITTED", "hazard": "COMMITTED", "2pc-committed": "COMMITTED", "tcc-aborted": "ABORTED",
}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def answer(command):
    """By action: "yes" does all; "mute" answers nothing; "then-mute" the forward operation alone; "no" and "hazard" refuse."""
    forward = command.operation in FORWARD
    if command.action == "mute" or command.action == "then-mute" and not forward:
        return None
    if command.action == "no" and forward or command.action == "hazard" and not forward:
        return wire.part.BranchReply.REFUSED
    return wire.DONE


def run(daemon):
    ctl = Ctl(daemon.endpoint)
    stub = wire.tx_grpc.TransactionServiceStub(wire.connect(daemon.endpoint))
    actions = [(name, PROTOCOLS[name.rsplit("/", 1)[1]]) for name in
               (f"{action}/{protocol}" for action in ("yes", "mute", "then-mute", "no", "hazard") for protocol in PROTOCOLS)]

    def by_action(command):
        command.action = command.action.split("/")[0]
        return answer(command)
    session = wire.Session(daemon.endpoint, "shop", by_action, actions)
    assert session.welcome.wait(30), session.error

    def submit(gid, protocol, *names, wait_for=wire.types.WAIT_ACCEPTED, **of_last):
        branches = [wire.branch("shop", f"{name}/{protocol}", PROTOCOLS[protocol], payload=b"for " + gid.encode(),
                                **(of_last if i == len(names) - 1 else {})) for i, name in enumerate(names)]
        spec = wire.spec(gid, *branches, deadline_ms=DEADLINE_MS, labels={"fixture": "yes"})
        stub.Submit(wire.tx.SubmitRequest(transaction=spec, wait_for=wait_for), timeout=60)

    decided, completed = wire.types.WAIT_DECIDED, wire.types.WAIT_COMPLETED
    submit("2pc-committed", "2pc", "yes", "yes", wait_for=completed)
    submit("tcc-aborted", "tcc", "yes", "no", wait_for=completed)
    submit("2pc-committing", "2pc", "yes", "then-mute", wait_for=decided)
    submit("tcc-committing", "tcc", "yes", "then-mute", wait_for=decided)
    stub.Submit(wire.tx.SubmitRequest(transaction=wire.spec(
        "saga-committing", wire.branch("shop", "yes/saga", wire.types.SAGA, pivot=True), wire.branch("shop", "mute/saga", wire.types.SAGA),
        deadline_ms=DEADLINE_MS), wait_for=decided), timeout=60)
    for protocol in ("2pc", "tcc"):
        submit(f"{protocol}-aborting", protocol, "then-mute", "no", wait_for=decided)
    submit("saga-aborting", "saga", "then-mute", "no", wait_for=decided)
    submit("hazard", "2pc", "yes", "hazard", wait_for=decided)
    submit("suspended", "2pc", "yes", "then-mute", wait_for=decided)
    assert ctl("suspend", "suspended", "--reason", "fixture").code == 0
    for protocol in PROTOCOLS:
        submit(f"{protocol}-active", protocol, "yes", "mute")
    stub.Begin(wire.tx.BeginRequest(transaction=wire.spec("open", deadline_ms=DEADLINE_MS)), timeout=60)
    while not all(operation in session.operations(gid) for gid, operation in
                  [("hazard", "COMMIT"), ("saga-committing", "ACTION"), ("saga-aborting", "COMPENSATE"), ("tcc-active", "TRY")]):
        time.sleep(0.01)
    assert daemon.stop() == 0


def dump(path, into, number):
    with sqlite3.connect(path) as db:
        for older in range(NEWEST - 1, number - 1, -1):
            db.executescript(UNDO[older])
        meta = list(db.execute("SELECT format, coordinator_id, epoch, next_serial, commit_seq, live_rows, live_xor, live_versions, finished_rows"
                               " FROM meta").fetchone())
        meta[0] = number
        crc = crc32c(b"meta" + b"".join(struct.pack("<q", value) for value in meta))
        db.execute("UPDATE meta SET format = ?, crc = ?", (number, crc))
        db.commit()
        lines = ["PRAGMA application_id = 0x41736E74;", f"PRAGMA user_version = {number};", *db.iterdump()]
    # Without a time or a name: the same log gives the same file.
    with open(into, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write("\n".join(lines).encode())


def main():
    os.makedirs(HERE, exist_ok=True)
    daemon = Daemon("--drain-seconds", "0")
    try:
        run(daemon)
        for number in range(NEWEST, 0, -1):
            dump(os.path.join(daemon.data, "assent.db"), os.path.join(HERE, f"log-format-{number}.sql.gz"), number)
    finally:
        daemon.close()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""The standard actions of docs/contract.md over the barrier beside it, for TCC and Saga, unary:

    assent-contract participant --unary 127.0.0.1:0 --start examples/python/contract_participant.py
"""

import concurrent.futures
import json
import os
import signal
import sys
import time

import grpc

from barrier import Barrier, Refused
from participant import Participant
from stubs import participant_pb2_grpc, types_pb2 as t

TABLES = """
    CREATE TABLE IF NOT EXISTS ledger(
        account TEXT PRIMARY KEY, balance INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0);
"""


def _ledger(db, account):
    row = db.execute("SELECT balance, held FROM ledger WHERE account = ?", (account,)).fetchone() or (0, 0)
    return {"balance": row[0], "held": row[1]}


def _change(db, add, balance, held):
    db.execute("INSERT OR IGNORE INTO ledger(account) VALUES (?)", (add["account"],))
    db.execute("UPDATE ledger SET balance = balance + ?, held = held + ? WHERE account = ?",
               (balance * add["amount"], held * add["amount"], add["account"]))


def _forward(balance, held):
    def run(db, command):
        add = json.loads(command.payload)
        _change(db, add, balance, held)
        ledger = _ledger(db, add["account"])
        if ledger["balance"] + ledger["held"] < 0:
            raise Refused("not enough")
        time.sleep(add.get("wait_ms", 0) / 1000)
        if str(add.get("crash_at_start")) == os.environ.get("ASSENT_CONTRACT_START"):
            os.kill(os.getpid(), signal.SIGKILL)
        if add.get("fail"):
            raise RuntimeError("the payload asks for a failure")
        if "refuse_hex" in add:
            raise Refused(bytes.fromhex(add["refuse_hex"]).decode("utf-8", "replace"))
        return json.dumps(ledger).encode()
    return run


def _end(balance, held):
    return lambda db, command: _change(db, json.loads(command.payload), balance, held)


def _read(db, command):
    return json.dumps(_ledger(db, json.loads(command.payload)["account"])).encode()


def _echo(_db, command):
    results = {branch: result.decode() for branch, result in command.results.items()}
    return json.dumps({"headers": dict(command.headers), "results": results, "traceparent": command.traceparent,
                       "tracestate": command.tracestate}).encode()


HANDLERS = {
    ("add", t.TRY): _forward(balance=0, held=1),
    ("add", t.CONFIRM): _end(balance=1, held=-1),
    ("add", t.CANCEL): _end(balance=0, held=-1),
    ("add", t.ACTION): _forward(balance=1, held=0),
    ("add", t.COMPENSATE): _end(balance=-1, held=0),
    ("read", t.ACTION): _read,
    ("echo", t.ACTION): _echo,
    ("bytes", t.ACTION): lambda db, command: command.payload,
    **{(action, t.COMPENSATE): lambda db, command: None for action in ("read", "echo", "bytes")},
}


def main():
    barrier = Barrier(os.path.join(os.environ["ASSENT_CONTRACT_FOLDER"], "ledger.db"), TABLES)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    participant_pb2_grpc.add_ParticipantServicer_to_server(Participant(barrier, HANDLERS), server)
    server.add_insecure_port(os.environ["ASSENT_CONTRACT_LISTEN"])
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=5))
    server.wait_for_termination()
    barrier.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

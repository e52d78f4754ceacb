#!/usr/bin/python3
"""A participant in Python: the loyalty service gives members points for what they order.

    assentd --unary loyalty=127.0.0.1:7501 …        the coordinator dials out to it
    participant.py --listen 127.0.0.1:7501 --database loyalty.db

Action `award`, as TCC (points are promised at TRY, given at CONFIRM, dropped at CANCEL) and as a Saga step (given at
ACTION, taken back at COMPENSATE). The payload is JSON: {"customer": "Ada", "coins": 60}; one point for ten coins.
"""

import argparse
import concurrent.futures
import json
import signal
import sys

import grpc

from barrier import Barrier, Refused
from stubs import participant_pb2, participant_pb2_grpc, types_pb2

TABLES = """
    CREATE TABLE IF NOT EXISTS member(
        customer TEXT PRIMARY KEY,
        points INTEGER NOT NULL DEFAULT 0 CHECK (points >= 0),
        promised INTEGER NOT NULL DEFAULT 0 CHECK (promised >= 0));
    INSERT OR IGNORE INTO member(customer) VALUES ('Ada');
"""


def _change(db, command, points, promised):
    """Adds so many times the order's points to each column."""
    order = json.loads(command.payload)
    amount = order["coins"] // 10
    changed = db.execute("UPDATE member SET points = points + ?, promised = promised + ? WHERE customer = ?",
                         (points * amount, promised * amount, order["customer"])).rowcount
    if not changed:
        raise Refused(f"{order['customer']} is not a member")
    return str(amount).encode()


HANDLERS = {
    ("award", types_pb2.TRY): lambda db, command: _change(db, command, points=0, promised=1),
    ("award", types_pb2.CONFIRM): lambda db, command: _change(db, command, points=1, promised=-1),
    ("award", types_pb2.CANCEL): lambda db, command: _change(db, command, points=0, promised=-1),
    ("award", types_pb2.ACTION): lambda db, command: _change(db, command, points=1, promised=0),
    ("award", types_pb2.COMPENSATE): lambda db, command: _change(db, command, points=-1, promised=0),
}


class Participant(participant_pb2_grpc.ParticipantServicer):
    def __init__(self, barrier, handlers):
        self._barrier = barrier
        self._handlers = handlers

    def Execute(self, request, context):
        if not request.gid or not request.branch_id:  # no coordinator's: the barrier would know all of these as one branch
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a command names its gid and its branch")
        handler = self._handlers.get((request.action, request.operation))
        if handler is None:
            why = f"no {types_pb2.Operation.Name(request.operation)} of action '{request.action}' here"
            if request.operation in (types_pb2.PREPARE, types_pb2.TRY, types_pb2.ACTION):
                return participant_pb2.BranchReply(gid=request.gid, branch_id=request.branch_id, operation=request.operation,
                                                   kind=participant_pb2.BranchReply.REFUSED, reason=why)
            # No status is an answer: what is to be finished or undone comes again, until there is a version that knows it.
            context.abort(grpc.StatusCode.UNIMPLEMENTED, why)
        return self._barrier.execute(request, handler)


def serve(listen, database):
    """Starts; the server, the port and the barrier."""
    barrier = Barrier(database, TABLES)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    participant_pb2_grpc.add_ParticipantServicer_to_server(Participant(barrier, HANDLERS), server)
    port = server.add_insecure_port(listen)
    server.start()
    return server, port, barrier


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:7501", help="HOST:PORT (default: %(default)s)")
    parser.add_argument("--database", default="loyalty.db", help="SQLite file (default: %(default)s)")
    flags = parser.parse_args()
    server, port, barrier = serve(flags.listen, flags.database)
    print(f"loyalty: listening on port {port}, database {flags.database}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=5))
    signal.signal(signal.SIGINT, lambda *_: server.stop(grace=5))
    server.wait_for_termination()
    barrier.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

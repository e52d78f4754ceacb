"""An initiator that knows no map: it asks one member after the other, each of which hands on what is another's."""

import threading

import grpc

import audit
import wire


class Stranger(threading.Thread):
    PAUSE_S = 0.02

    def __init__(self, rig, number):
        super().__init__(daemon=True)
        self.doors = [audit.Door(rig.reached_at(i)) for i in range(len(rig.members))]
        self.name, self.stopping, self.lines = f"stranger-{rig.seed}-{number}", threading.Event(), []

    def run(self):
        number = 0
        while not self.stopping.is_set():
            self._carry_through(f"{self.name}-{number}")
            number += 1

    def _carry_through(self, gid):
        """Until it is told an outcome: never that it is certainly not begun, for an earlier asking may have begun it."""
        self.lines += [["plan", gid], ["branch", gid, "1", "0", "1", "0", "book"]]
        branch = wire.branch("bank0", action="book", protocol=wire.types.SAGA, branch_id="1", payload=b"0 0")
        request = wire.tx.SubmitRequest(transaction=wire.spec(gid, branch, deadline_ms=30_000))
        while not self.stopping.is_set():
            self.doors.append(self.doors.pop(0))
            try:
                reply = self.doors[0].stub.Submit(request, timeout=1)
            except grpc.RpcError:
                self.stopping.wait(self.PAUSE_S)
                continue
            if reply.outcome in (wire.types.COMMITTED, wire.types.ABORTED):
                self.lines.append(["told", gid, "Submit", wire.types.Outcome.Name(reply.outcome)])
                break
        self.stopping.wait(self.PAUSE_S)

    def end(self, journals):
        self.stopping.set()
        self.join(30)
        for line in self.lines:
            journals.take(self.name, line)

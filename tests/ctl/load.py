"""Transactions of a few initiators over the raw wire, as fast as they are answered; who was told what is written down."""

import os
import sys
import threading

import grpc

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../grpc"))
import wire  # noqa: E402


class Load:
    """Two branches each, of services `first` and `second`, which vote and answer as `answer` says."""

    def __init__(self, endpoint, answer=lambda command: wire.DONE, protocol=wire.types.TWO_PHASE, initiators=4, prefix="load"):
        self.endpoint, self.protocol, self.prefix = endpoint, protocol, prefix
        self.told = {}  # gid to the name of its state, in the order of the answers
        self.changed = threading.Condition()
        self.stopping = False
        actions = (("act", protocol),)
        self.sessions = [wire.Session(endpoint, service, answer, actions) for service in ("first", "second")]
        for session in self.sessions:
            assert session.welcome.wait(30), session.error
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(initiators)]
        for thread in self.threads:
            thread.start()

    def run(self, initiator):
        stub = wire.tx_grpc.TransactionServiceStub(wire.connect(self.endpoint))
        n = 0
        while not self.stopping:
            n += 1
            gid = f"{self.prefix}-{initiator}-{n}"
            branches = [wire.branch(service, protocol=self.protocol) for service in ("first", "second")]
            try:
                reply = stub.Submit(wire.tx.SubmitRequest(transaction=wire.spec(gid, *branches), wait_for=wire.types.WAIT_DECIDED),
                                    timeout=30)
            except grpc.RpcError:
                return  # it was killed: nobody knows
            with self.changed:
                self.told[gid] = wire.types.Outcome.Name(reply.outcome)
                self.changed.notify_all()

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= count, timeout=60), len(self.told)
            return list(self.told)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()

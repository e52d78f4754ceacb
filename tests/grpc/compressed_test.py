#!/usr/bin/python3
"""What comes compressed over gRPC is refused as it is, whoever sends it: inflated it may be a thousand times as large."""

import concurrent.futures
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from rig import PATIENCE_SECONDS, Daemon, order  # noqa: E402
from stubs import participant_pb2, participant_pb2_grpc  # noqa: E402

INFLATED = 128 << 20
# Far below it, and far above what a call costs.
MOST_KIB = 64 << 10


class Inflated(participant_pb2_grpc.ParticipantServicer):
    """A participant whose results are small on the wire alone."""

    def __init__(self):
        self.asked = 0

    def Execute(self, request, context):
        self.asked += 1
        context.set_compression(grpc.Compression.Gzip)
        return participant_pb2.BranchReply(gid=request.gid, branch_id=request.branch_id, operation=request.operation,
                                           kind=participant_pb2.BranchReply.DONE, result=bytes(INFLATED))


class Compressed(unittest.TestCase):
    def grown_kib(self, daemon, what):
        before = daemon.resident_kib("VmHWM")
        what()
        return daemon.resident_kib("VmHWM") - before

    def test_a_request_of_a_stranger(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        with grpc.insecure_channel(daemon.endpoint, options=[("grpc.max_send_message_length", -1)]) as channel:
            def code(path, kind):
                with self.assertRaises(grpc.RpcError) as failed:
                    channel.unary_unary(path)(bytes(INFLATED), timeout=PATIENCE_SECONDS, compression=kind)
                return failed.exception.code()

            def send():
                for path in ("/assent.v1.TransactionService/GetServerInfo", "/grpc.health.v1.Health/Check", "/no.Service/Call"):
                    for kind in (grpc.Compression.Gzip, grpc.Compression.Deflate):
                        self.assertEqual(grpc.StatusCode.UNIMPLEMENTED, code(path, kind), path)

            self.assertLess(self.grown_kib(daemon, send), MOST_KIB)
            self.assertTrue(channel.unary_unary("/assent.v1.TransactionService/GetServerInfo")(b"", timeout=PATIENCE_SECONDS))

    def test_the_answer_of_a_participant(self):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2), options=[("grpc.max_send_message_length", -1)])
        servicer = Inflated()
        participant_pb2_grpc.add_ParticipantServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())
        daemon = Daemon("--unary", f"bank=127.0.0.1:{port}")
        self.addCleanup(daemon.close)

        def begin():
            self.assertEqual(200, daemon.ask("POST", "/v1/transactions", order("one"))[0])
            while servicer.asked < 2:  # the first answer has come, and was none
                daemon.ask("GET", "/v1/transactions/one")

        self.assertLess(self.grown_kib(daemon, begin), MOST_KIB)


if __name__ == "__main__":
    unittest.main()

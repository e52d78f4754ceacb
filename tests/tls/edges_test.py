#!/usr/bin/python3
"""TLS on the other edges of a real assentd: the SDK, participants that are dialled, other coordinators; and new certificates under load."""

import concurrent.futures
import os
import re
import subprocess
import sys
import threading
import unittest

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, *(os.path.join(HERE, "..", folder) for folder in ("ctl", "grpc", "support"))]

from certificates import Authority, write  # noqa: E402
from daemon import BIN, free_port  # noqa: E402
from door_test import TlsTest  # noqa: E402
from load import wire  # noqa: E402
from scripted_participant import ScriptedParticipant, participant_pb2_grpc  # noqa: E402
import postgresql  # noqa: E402

SUBMITTERS, EACH, AT_ONCE, RENEWALS = 4, 2500, 25, 6


def read(path):
    with open(path, "rb") as file:
        return file.read()


class SecureParticipant(ScriptedParticipant):
    """Takes calls over TLS alone, of whoever has a certificate of the CA."""

    def __init__(self, ca, pair):
        self.ca, self.pair = ca, pair
        super().__init__()

    def up(self):
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
        participant_pb2_grpc.add_ParticipantServicer_to_server(self, self._server)
        credentials = grpc.ssl_server_credentials([(read(self.pair.key), read(self.pair.cert))], read(self.ca), require_client_auth=True)
        port = self._server.add_secure_port(f"127.0.0.1:{self._port}", credentials)
        assert port, "the participant's port was taken while it was down"
        self._port = port
        self._server.start()


class Edges(TlsTest):
    def environment(self, pair, ca=None):
        return {"PATH": os.environ["PATH"], "ASSENT_ENDPOINT": self.daemon.endpoint, "ASSENT_TLS_CA": ca or self.ca.ca, "ASSENT_TLS_CERT": pair.cert,
                "ASSENT_TLS_KEY": pair.key}

    def fly(self, environment):
        return subprocess.run([os.path.join(BIN, "example-interactive")], env=environment, capture_output=True, text=True, timeout=60)

    def test_participants_and_initiators_of_the_sdk(self):
        self.serve()
        booked = self.fly(self.environment(self.ca.make("airline")))
        self.assertEqual(0, booked.returncode, booked)
        other = Authority("another-ca")
        self.addCleanup(other.close)
        refused = self.fly(self.environment(self.operator, ca=other.ca))
        self.assertEqual(1, refused.returncode, refused)
        missing = self.fly({**self.environment(self.operator), "ASSENT_TLS_KEY": self.ca.path("not-there")})
        self.assertEqual(1, missing.returncode, missing)
        self.assertIn("the key's file", missing.stdout + missing.stderr)

    def test_a_service_is_told_why_it_gets_no_connection(self):
        """It said that there was none within ten seconds, and asked whether assentd was running."""
        self.serve()
        without = {key: value for key, value in self.environment(self.operator).items() if key in ("PATH", "ASSENT_ENDPOINT")}
        for environment, why in ((without, "TLS is spoken at that address, and no CA was given to this side"),
                                 ({**without, "ASSENT_TLS_CA": self.ca.ca}, "does it want a certificate, and not the one, if any, that this side shows?"),
                                 ({**without, "ASSENT_ENDPOINT": f"127.0.0.1:{free_port()}"}, "connection refused; is assentd running?")):
            with self.subTest(why), subprocess.Popen([os.path.join(BIN, "assent-demo-payment")], env=environment, stdout=subprocess.PIPE,
                                                     stderr=subprocess.STDOUT, text=True) as service:
                try:
                    said = next(line for line in service.stdout if "reason=" in line)
                finally:
                    service.kill()
                self.assertRegex(said, f"no connection to \\S+ within 10000 ms: .*{re.escape(why)}")

    def submit(self, call, gid):
        request = wire.tx.SubmitRequest(transaction=wire.spec(gid, wire.branch("shop", "reserve")), wait_for=wire.types.WAIT_COMPLETED)
        return call(request, timeout=60)

    def stub(self, endpoint=None, ca=None):
        credentials = grpc.ssl_channel_credentials(read(ca or self.ca.ca), read(self.operator.key), read(self.operator.cert))
        channel = grpc.secure_channel(endpoint or self.daemon.endpoint, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
        return channel, wire.tx_grpc.TransactionServiceStub(channel)

    def test_participants_that_are_dialled(self):
        shop = SecureParticipant(self.ca.ca, self.ca.make("shop"))
        self.addCleanup(shop.down)
        self.serve("--unary", f"shop=tls:{shop.address}", "--tls-participant-ca", self.ca.ca)
        channel, stub = self.stub()
        self.addCleanup(channel.close)
        self.assertEqual(wire.types.COMMITTED, self.submit(stub.Submit, "dialled").outcome)
        self.assertIn(f"tls:{shop.address}", self.expect(0, *self.flags(), "participants", "-o", "json").out)

    def test_a_participant_with_another_name_is_not_called(self):
        shop = SecureParticipant(self.ca.ca, self.ca.make("elsewhere", "DNS:elsewhere.shop"))
        self.addCleanup(shop.down)
        self.serve("--unary", f"shop=tls:{shop.address}", "--tls-participant-ca", self.ca.ca)
        self.until(lambda: "event=participant_unreachable" in self.daemon.log())
        self.assertEqual([], shop.commands)

    def test_coordinators_among_themselves(self):
        server = postgresql.Server()
        self.addCleanup(server.close)
        server.start()
        url = server.url(server.new_database())
        shop = ScriptedParticipant()
        self.addCleanup(shop.down)
        members = []
        for node in ("a", "b"):
            self.serve("--log", url, "--node", node, "--unary", f"shop={shop.address}")
            members.append(self.daemon)
        self.assertNotIn("event=advertised_elsewhere", members[0].log() + members[1].log())
        stubs = []
        for member in members:
            channel, stub = self.stub(member.endpoint)
            self.addCleanup(channel.close)
            stubs.append(stub)
        # Each is asked of both members: one of the two calls is handed on.
        for number in range(40):
            self.assertEqual(wire.types.COMMITTED, self.submit(stubs[number % 2].Submit, f"pair-{number}").outcome)
        for number in range(40):
            self.assertEqual(f"pair-{number}", stubs[(number + 1) % 2].Get(wire.tx.GetRequest(gid=f"pair-{number}"), timeout=60).gid)

    def test_new_certificates_under_load_lose_nothing(self):
        """Ten thousand transactions, while the certificate and the CA of clients are others all the time: the books of both sides agree."""
        shop = ScriptedParticipant()
        self.addCleanup(shop.down)
        self.serve("--unary", f"shop={shop.address}")
        other = Authority("another-ca")
        self.addCleanup(other.close)
        renewed = [self.ca.make(f"renewed-{number}") for number in range(RENEWALS)]
        of_clients = [self.ca.ca + ".alone", self.ca.ca + ".both"]
        write(of_clients[0], read(self.ca.ca).decode())
        write(of_clients[1], (read(other.ca) + read(self.ca.ca)).decode())
        trusted = self.ca.ca + ".kept"
        write(trusted, read(self.ca.ca).decode())
        told, lost, done = set(), [], threading.Event()

        def settle(gid, call):
            try:
                (told.add if call.result().outcome == wire.types.COMMITTED else lost.append)(gid)
            except grpc.RpcError as error:
                lost.append((gid, error.code(), error.details()))

        def work(worker):
            for begin in range(0, EACH, AT_ONCE):
                channel, stub = self.stub(ca=trusted)  # anew: many shake hands while the files change
                gids = [f"load-{worker}-{number}" for number in range(begin, begin + AT_ONCE)]
                for gid, call in [(gid, self.submit(stub.Submit.future, gid)) for gid in gids]:
                    settle(gid, call)
                channel.close()

        def renew():
            number = 0
            while not done.is_set():
                self.server.become(renewed[number % RENEWALS])
                write(self.ca.ca, read(of_clients[number % 2]).decode(), 0o644)
                number += 1
                self.daemon.signal(1)
                if done.wait(0.1):
                    return

        workers = [threading.Thread(target=work, args=(number,)) for number in range(SUBMITTERS)]
        renewer = threading.Thread(target=renew)
        for thread in (renewer, *workers):
            thread.start()
        for thread in workers:
            thread.join()
        done.set()
        renewer.join()
        self.assertEqual([], lost[:5])
        self.assertEqual(SUBMITTERS * EACH, len(told))
        self.assertEqual(told, {gid for gid, _, _ in shop.traces})
        self.assertGreater(self.daemon.log().count("event=tls_reloaded"), RENEWALS)


if __name__ == "__main__":
    unittest.main()

"""A participant that answers as a test tells it, and can be taken down and brought back at the same address."""

import concurrent.futures
import os
import sys
import threading

import grpc

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "python"))
from stubs import participant_pb2, participant_pb2_grpc, types_pb2  # noqa: E402

REPLY = participant_pb2.BranchReply


class ScriptedParticipant(participant_pb2_grpc.ParticipantServicer):
    def __init__(self):
        self._lock = threading.Lock()
        self._answers = {}
        self._held = {}
        self.commands = []  # (service, operation name), in order of arrival
        self.asked = []  # (action, operation name), likewise
        self.traces = []  # (gid, traceparent, tracestate), likewise; of the command and its metadata, which must say the same
        self._port = 0
        self.up()

    @property
    def address(self):
        return f"127.0.0.1:{self._port}"

    def up(self):
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
        participant_pb2_grpc.add_ParticipantServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        assert port, "the participant's port was taken while it was down"
        self._port = port
        self._server.start()

    def down(self):
        self._server.stop(grace=None).wait()

    def answer(self, action, operation, kind=REPLY.DONE, result=b"", reason=""):
        """What `action` answers to `operation` ("TRY") from now on; otherwise DONE."""
        with self._lock:
            self._answers[action, operation] = (kind, result, reason)

    def hold(self, action, operation):
        """Answers to it wait for the event that is returned; `arrived` of it is set when one waits."""
        event = threading.Event()
        event.arrived = threading.Event()
        with self._lock:
            self._held[action, operation] = event
        return event

    def Execute(self, command, context):
        key = (command.action, types_pb2.Operation.Name(command.operation))
        with self._lock:
            self.commands.append((command.service, key[1]))
            self.asked.append(key)
            said = dict(context.invocation_metadata())
            assert (said.get("traceparent", ""), said.get("tracestate", "")) == (command.traceparent, command.tracestate), said
            self.traces.append((command.gid, command.traceparent, command.tracestate))
            held = self._held.get(key)
            kind, result, reason = self._answers.get(key, (REPLY.DONE, b"", ""))
        if held:
            held.arrived.set()
            held.wait(30)
        return REPLY(gid=command.gid, branch_id=command.branch_id, operation=command.operation,
                     command_id=command.command_id, kind=kind, result=result, reason=reason)

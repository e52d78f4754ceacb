"""The raw wire, without an SDK that would keep anybody from doing wrong."""

import glob
import importlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading

import grpc

_PROTO_ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")

with tempfile.TemporaryDirectory(prefix="assent-wire-") as _generated:
    subprocess.run(
        ["protoc", "-I", _PROTO_ROOT, "--python_out", _generated, "--grpc_out", _generated,
         "--plugin=protoc-gen-grpc=" + shutil.which("grpc_python_plugin"),
         *sorted(glob.glob(os.path.join(_PROTO_ROOT, "assent", "v1", "*.proto")))], check=True)
    sys.path.insert(0, _generated)
    types = importlib.import_module("assent.v1.types_pb2")
    tx = importlib.import_module("assent.v1.transaction_pb2")
    tx_grpc = importlib.import_module("assent.v1.transaction_pb2_grpc")
    part = importlib.import_module("assent.v1.participant_pb2")
    part_grpc = importlib.import_module("assent.v1.participant_pb2_grpc")
    keep = importlib.import_module("assent.v1.maintenance_pb2")
    keep_grpc = importlib.import_module("assent.v1.maintenance_pb2_grpc")
    sys.path.remove(_generated)

DONE = part.BranchReply.DONE


def connect(endpoint):
    """A channel of its own: by default channels to one address share a connection."""
    return grpc.insecure_channel(endpoint, options=[
        ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", 4 * 1024 * 1024)])


def branch(service, action="act", protocol=types.TCC, **more):
    return types.BranchSpec(service=service, action=action, protocol=protocol, **more)


def spec(gid, *branches, **more):
    return types.TransactionSpec(gid=gid, branches=branches, **more)


class Session:
    """A participant's stream. Commands are answered by `answer(command)`, a BranchReply kind, a reply, or None for silence."""

    def __init__(self, endpoint, service, answer=lambda command: DONE, actions=(("act", types.TCC),), **hello):
        self.channel = connect(endpoint)
        self.frames = queue.Queue()
        self.commands = []
        self.answers = queue.Queue()
        self.welcome = threading.Event()
        self.ended = threading.Event()
        self.error = None
        self._answer = answer
        self.send(hello=part.Hello(version=1, service=service, **{
            "actions": [part.ActionInfo(name=n, protocol=p) for n, p in actions], **hello}))
        self.call = self._connect()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def send(self, **frame):
        self.frames.put(part.ParticipantFrame(**frame))

    def _read(self):
        try:
            for frame in self.call:
                if frame.HasField("welcome"):
                    self.info = frame.welcome
                    self.welcome.set()
                replies = []
                for command in frame.commands:
                    self.commands.append(command)
                    answer = self._answer(command)
                    if isinstance(answer, int):
                        answer = part.BranchReply(kind=answer)
                    if answer is None:
                        continue
                    answer.gid, answer.branch_id = answer.gid or command.gid, answer.branch_id or command.branch_id
                    answer.operation = answer.operation or command.operation
                    answer.command_id = answer.command_id or command.command_id
                    replies.append(answer)
                for i in range(0, len(replies), 200):
                    self.send(replies=replies[i:i + 200])
                for one in frame.answers:
                    self.answers.put(one)
        except grpc.RpcError as error:
            self.error = error
        self.ended.set()
        self.welcome.set()

    def operations(self, gid):
        return [types.Operation.Name(c.operation) for c in self.commands if c.gid == gid]

    def _connect(self):
        return part_grpc.ParticipantSessionStub(self.channel).Connect(iter(self.frames.get, None))

    def close(self):
        self.call.cancel()
        self.frames.put(None)
        self.channel.close()


class BytesSession(Session):
    """One whose frames are changed by `mangle(bytes)` on their way: what generated code would not write."""

    def __init__(self, *arguments, mangle, **more):
        self._mangle = mangle
        super().__init__(*arguments, **more)

    def _connect(self):
        return self.channel.stream_stream(
            "/assent.v1.ParticipantSession/Connect", request_serializer=lambda frame: self._mangle(frame.SerializeToString()),
            response_deserializer=part.CoordinatorFrame.FromString)(iter(self.frames.get, None))

"""Generates Python code from the wire contract and imports it: types_pb2, and of participants and
transactions …_pb2 and …_pb2_grpc.

A project of its own would generate once, at build time, with the command below. Here it is done at each start, into a
directory that goes away, so that the example always speaks the contract of the sources beside it.
"""

import glob
import importlib
import os
import shutil
import subprocess
import sys
import tempfile

_PROTO_ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")


def _generate(into):
    plugin = shutil.which("grpc_python_plugin")
    if not plugin or not shutil.which("protoc"):
        sys.exit("protoc and grpc_python_plugin are needed: Debian packages protobuf-compiler, protobuf-compiler-grpc")
    subprocess.run(
        ["protoc", "-I", _PROTO_ROOT, "--python_out", into, "--grpc_out", into,
         "--plugin=protoc-gen-grpc=" + plugin, *sorted(glob.glob(os.path.join(_PROTO_ROOT, "assent", "v1", "*.proto")))],
        check=True)


# Gone as soon as it is imported, so that a killed process leaves nothing behind.
with tempfile.TemporaryDirectory(prefix="assent-python-") as _generated:
    _generate(_generated)
    sys.path.insert(0, _generated)
    types_pb2 = importlib.import_module("assent.v1.types_pb2")
    participant_pb2 = importlib.import_module("assent.v1.participant_pb2")
    participant_pb2_grpc = importlib.import_module("assent.v1.participant_pb2_grpc")
    maintenance_pb2 = importlib.import_module("assent.v1.maintenance_pb2")
    transaction_pb2 = importlib.import_module("assent.v1.transaction_pb2")
    transaction_pb2_grpc = importlib.import_module("assent.v1.transaction_pb2_grpc")
    sys.path.remove(_generated)

#!/usr/bin/python3
"""Puts the package together: assent/ as it stands here, and what protoc makes of proto/assent/v1 as assent/v1.

    generate.py FOLDER          FOLDER/assent is what one imports (PYTHONPATH=FOLDER)
    generate.py --v1 FOLDER     only what protoc makes, into FOLDER/assent/v1

It takes protoc and grpc_python_plugin (Debian: protobuf-compiler, protobuf-compiler-grpc), or the Python package grpcio-tools.
`pip install` does the same: setup.py.
"""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# In the repository, or beside this file in a source distribution.
PROTOS = [os.path.join(HERE, "proto"), os.path.join(HERE, "..", "..", "proto")]
NAMES = ["types", "participant", "events", "transaction", "cluster"]


def command():
    """Up to its arguments."""
    plugin = shutil.which("grpc_python_plugin")
    if plugin and shutil.which("protoc"):
        return ["protoc", f"--plugin=protoc-gen-grpc={plugin}", "--grpc_out"]
    try:
        import grpc_tools  # noqa: F401
    except ImportError:
        sys.exit("neither protoc with grpc_python_plugin (Debian: protobuf-compiler, protobuf-compiler-grpc) nor the Python package "
                 "grpcio-tools is here: install one of them")
    return [sys.executable, "-m", "grpc_tools.protoc", "--grpc_python_out"]


def generate(into):
    root = next((path for path in PROTOS if os.path.exists(os.path.join(path, "assent", "v1", "types.proto"))), None)
    if root is None:
        sys.exit(f"assent/v1/*.proto is in none of {', '.join(PROTOS)}: build from a clone of the repository")
    os.makedirs(into, exist_ok=True)
    subprocess.run([*command(), into, "-I", root, "--python_out", into,
                    *(os.path.join(root, "assent", "v1", name + ".proto") for name in NAMES)], check=True)
    with open(os.path.join(into, "assent", "v1", "__init__.py"), "w", encoding="utf-8") as file:
        file.write('"""Made by protoc."""\n')


def stage(into):
    target = os.path.join(into, "assent")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(os.path.join(HERE, "assent"), target, ignore=shutil.ignore_patterns("__pycache__", "v1"))
    generate(into)


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "--v1":
        generate(arguments[1])
    elif len(arguments) == 1 and not arguments[0].startswith("-"):
        stage(arguments[0])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

"""A participant of the C++ SDK over MariaDB is held to the whole contract, over sessions and unary.

    mariadb_test.py BIN
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sdk_python"))
import mariadb  # noqa: E402  pylint: disable=wrong-import-position

BIN = sys.argv[1]


def main():
    failed = False
    with mariadb.Server() as server:
        for transport in ("session", "unary"):
            environment = dict(os.environ, ASSENT_CONTRACT_MARIADB=f"{server.port} {server.new_database()}")
            argv = [os.path.join(BIN, "assent-contract"), "participant", f"--{transport}", "127.0.0.1:0", "--start",
                    "exec " + os.path.join(BIN, "contract-sdk-mariadb-participant"), "--patience-ms", "20000"]
            failed |= subprocess.run(argv, env=environment, check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""An initiator that the tests lose: it prepares a message, commits, and is gone before it can say so.

    check_back_initiator.py --database sqlite|postgresql|mariadb GID

CHECK_BACK_DATABASE says where: a path, a URL, or JSON for PyMySQL."""

import argparse
import json
import os
import signal
import sqlite3

import assent


def connect(kind, where):
    if kind == "sqlite":
        return sqlite3.connect(where, timeout=20.0)
    if kind == "postgresql":
        import psycopg
        return psycopg.connect(where)
    import pymysql
    return pymysql.connect(**json.loads(where))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--database", required=True)
    options.add_argument("gid")
    said = options.parse_args()
    message = assent.Transaction(said.gid, deadline=60).check_back("orders", "placed", first_asked=0.1).saga("shop", "ship")
    with assent.Client() as client:
        client.prepare(message)
        connection = connect(said.database, os.environ["CHECK_BACK_DATABASE"])
        connection.cursor().execute(f"INSERT INTO orders VALUES ('{said.gid}')")
        assent.enlist(connection, message)
        connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""How often MariaDB says OK to an XA COMMIT (or ROLLBACK) that does nothing, because the session that prepared the work is just ending.

    xa_window.py [--rounds 2000] [--noise 4] [--verb COMMIT] [--pause-ms 0]

Each round: one session prepares a row and closes; another one settles it as soon as it may, and then asks for the row's lock. Not a test:
it measures a fault of the server, of which docs/sdk-mariadb.md tells what was seen."""

import argparse
import collections
import threading
import time

import pymysql

import mariadb

NOT_THERE = 1397  # XAER_NOTA: it is still the first session's
LOCKED = 1205


def settle(connection, verb, name, pause):
    """Until the server says OK. How often it said that there is no such work."""
    for again in range(100_000):
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"XA {verb} {name}")
            return again
        except pymysql.err.MySQLError as error:
            if error.args[0] != NOT_THERE:
                raise
        time.sleep(pause)  # tidy: allow(sleep) what is measured
    raise RuntimeError("its session does not end")


def row_of(connection, number):
    """"held", "there", "gone"."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM work WHERE id = {number} FOR UPDATE NOWAIT")
            return "there" if cursor.fetchone() else "gone"
    except pymysql.err.MySQLError as error:
        if error.args[0] != LOCKED:
            raise
        return "held"


def one_round(server, database, other, number, flags):
    first = server.connect(database)
    name = f"'round-{number}'"
    with first.cursor() as cursor:
        for text in (f"XA START {name}", f"INSERT INTO work VALUES ({number})", f"XA END {name}", f"XA PREPARE {name}"):
            cursor.execute(text)
    first.close()
    settle(other, flags.verb, name, flags.pause_ms / 1000)
    seen = row_of(other, number)
    if seen != ("there" if flags.verb == "COMMIT" else "gone"):
        time.sleep(1)  # tidy: allow(sleep) so that it is no slowness of the server
        with other.cursor() as cursor:
            cursor.execute("XA RECOVER")
            listed = any(row[3] == name.strip("'") for row in cursor.fetchall())
        return f"said OK; a second later the row is {row_of(other, number)}, and XA RECOVER has it {'still' if listed else 'no more'}"
    return "done"


def shout(server, ended):
    """Makes the list of sessions be read all the time, which a session that ends has to wait for."""
    with server.connect("mysql") as connection, connection.cursor() as cursor:
        while not ended.is_set():
            cursor.execute("SHOW PROCESSLIST")
            cursor.fetchall()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--noise", type=int, default=0)
    parser.add_argument("--verb", choices=("COMMIT", "ROLLBACK"), default="COMMIT")
    parser.add_argument("--pause-ms", type=float, default=0)
    flags = parser.parse_args()
    with mariadb.Server() as server:
        database = server.new_database()
        other = server.connect(database)
        with other.cursor() as cursor:
            cursor.execute("CREATE TABLE work(id INT PRIMARY KEY) ENGINE=InnoDB")
        ended = threading.Event()
        threads = [threading.Thread(target=shout, args=(server, ended)) for _ in range(flags.noise)]
        for thread in threads:
            thread.start()
        seen = collections.Counter(one_round(server, database, other, number, flags) for number in range(flags.rounds))
        ended.set()
        for thread in threads:
            thread.join()
        lost = flags.rounds - seen["done"]
        for what, count in seen.most_common():
            print(f"{count:6} of {flags.rounds}: {what}")
        server.kill()
        server.start()
        with server.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("XA RECOVER")
            print(f"{lost:6} lost; after kill -9 and a new start XA RECOVER has {len(cursor.fetchall())}")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""A relay in a process of its own, which the tests kill.

    outbox_relay.py --database sqlite|postgresql|mariadb [--asyncio] [--die-at POINT] [--lease SECONDS]

OUTBOX_DATABASE says where: a path, a URL, or JSON for PyMySQL. `--die-at answered`: kill -9 of itself at that point."""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading

import assent
import assent.aio


def outbox_of(kind, where):
    if kind == "sqlite":
        return assent.Outbox(where)
    if kind == "postgresql":
        import psycopg
        return assent.Outbox(lambda: psycopg.connect(where))
    import pymysql
    return assent.Outbox(lambda: pymysql.connect(**json.loads(where)))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--database", required=True)
    options.add_argument("--asyncio", action="store_true")
    options.add_argument("--die-at", default="")
    options.add_argument("--lease", type=float, default=2.0)
    said = options.parse_args()

    def at_point(point):
        if point == said.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    outbox = outbox_of(said.database, os.environ["OUTBOX_DATABASE"])
    settings = {"lease": said.lease, "call_timeout": said.lease / 2, "poll": 0.05, "log": lambda line: print(line, flush=True), "at_point": at_point}
    if said.asyncio:
        asyncio.run(with_asyncio(outbox, settings))
        return
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with assent.Relay(outbox, **settings):
        print("relaying", flush=True)
        ended.wait()


async def with_asyncio(outbox, settings):
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with assent.aio.Relay(outbox, **settings):
        print("relaying", flush=True)
        await ended.wait()


if __name__ == "__main__":
    sys.exit(main())

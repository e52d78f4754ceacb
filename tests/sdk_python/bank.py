#!/usr/bin/python3
"""A bank that can do whatever `assent-contract` asks for, on the Python SDK: accounts, `add`, and what shows what a handler was given.

    bank.py --database sqlite|postgresql|mariadb [--asyncio]

Its environment is that of assent-contract: ASSENT_ENDPOINT (session) or ASSENT_CONTRACT_LISTEN (unary), ASSENT_CONTRACT_FOLDER,
ASSENT_CONTRACT_START; and BANK_DATABASE (a libpq URL, or JSON for PyMySQL).
"""

import argparse
import asyncio
import json
import os
import signal
import time

import assent
import assent.aio

TABLE = "CREATE TABLE IF NOT EXISTS account(name {text} PRIMARY KEY, balance BIGINT NOT NULL, held BIGINT NOT NULL)"


class Accounts:
    """The same statements for each database, with its placeholder."""

    def __init__(self, mark):
        self._mark = mark

    def _sql(self, text):
        return text.replace("?", self._mark)

    def change(self, tx, name, balance, held):
        insert = {"?": "INSERT OR IGNORE INTO account VALUES (?, 0, 0)", "%s": "INSERT INTO account VALUES (?, 0, 0) ON CONFLICT DO NOTHING",
                  "mariadb": "INSERT IGNORE INTO account VALUES (?, 0, 0)"}
        if tx.one(self._sql("SELECT 1 FROM account WHERE name = ?"), [name]) is None:
            tx.execute(self._sql(insert[self.dialect]), [name])
        tx.execute(self._sql("UPDATE account SET balance = balance + ?, held = held + ? WHERE name = ?"), [balance, held, name])
        now = self.read(tx, name)
        if now["balance"] + now["held"] < 0:
            raise assent.Refused("not enough")
        return now

    def read(self, tx, name):
        balance, held = tx.one(self._sql("SELECT balance, held FROM account WHERE name = ?"), [name]) or (0, 0)
        return {"balance": int(balance), "held": int(held)}


def forward(accounts, tx, call, balance, held):
    asked = call.json()
    now = accounts.change(tx, asked["account"], balance * asked["amount"], held * asked["amount"])
    if asked.get("wait_ms"):
        time.sleep(asked["wait_ms"] / 1000)  # tidy: allow(sleep) what is asked for
    if str(asked.get("crash_at_start")) == os.environ.get("ASSENT_CONTRACT_START"):
        os.kill(os.getpid(), signal.SIGKILL)
    if asked.get("fail"):
        raise RuntimeError("it was asked to fail")
    if "refuse_hex" in asked:
        raise assent.Refused(bytes.fromhex(asked["refuse_hex"]).decode("utf-8", "surrogateescape"))
    return json.dumps(now)


def add_actions(db, accounts, with_two_phase):
    @db.tcc("add")
    def reserve(tx, call):
        return forward(accounts, tx, call, 0, 1)

    @reserve.confirm
    def confirm(tx, call):
        asked = call.json()
        accounts.change(tx, asked["account"], asked["amount"], -asked["amount"])

    @reserve.cancel
    def cancel(tx, call):
        asked = call.json()
        accounts.change(tx, asked["account"], 0, -asked["amount"])

    @db.saga("add")
    def act(tx, call):
        return forward(accounts, tx, call, 1, 0)

    @act.compensate
    def compensate(tx, call):
        asked = call.json()
        accounts.change(tx, asked["account"], -asked["amount"], 0)

    if with_two_phase:
        @db.two_phase("add")
        def prepare(tx, call):
            return forward(accounts, tx, call, 1, 0)

    @db.saga("read")
    def read(tx, call):
        return json.dumps(accounts.read(tx, call.json()["account"]))

    @db.saga("echo")
    def echo(tx, call):
        return json.dumps({"headers": dict(call.headers), "results": {key: result.decode() for key, result in call.results.items()},
                           "traceparent": call.traceparent, "tracestate": call.tracestate})

    @db.saga("bytes")
    def same(tx, call):
        return call.payload


def database(kind, folder):
    """The adapter, and its accounts."""
    if kind == "sqlite":
        accounts = Accounts("?")
        accounts.dialect = "?"
        return assent.SQLite(os.path.join(folder, "bank.db"), tables=TABLE.format(text="TEXT")), accounts
    where = os.environ["BANK_DATABASE"]
    accounts = Accounts("%s")
    if kind == "postgresql":
        import psycopg
        accounts.dialect = "%s"
        return assent.PostgreSQL(lambda: psycopg.connect(where), tables=TABLE.format(text="TEXT")), accounts
    if kind == "psycopg2":
        import psycopg2
        accounts.dialect = "%s"
        return assent.PostgreSQL(lambda: psycopg2.connect(where), tables=TABLE.format(text="TEXT")), accounts
    import pymysql
    accounts.dialect = "mariadb"
    return assent.MySQL(lambda: pymysql.connect(**json.loads(where)), tables=TABLE.format(text="VARCHAR(128)")), accounts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "psycopg2", "mariadb"), default="sqlite")
    parser.add_argument("--service", default="contract")
    parser.add_argument("--asyncio", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    flags = parser.parse_args()
    db, accounts = database(flags.database, os.environ.get("ASSENT_CONTRACT_FOLDER", "."))
    add_actions(db, accounts, flags.database != "sqlite")
    service = assent.Service(flags.service, db)
    listen = os.environ.get("ASSENT_CONTRACT_LISTEN")
    log = (lambda line: print(line, flush=True)) if flags.verbose else None
    if flags.asyncio:
        asyncio.run(serve_in_loop(service, listen, log))
    elif listen:
        assent.UnaryServer(service, listen).run()
    else:
        assent.Participant(service, log=log, question_interval=0.5).run()


async def serve_in_loop(service, listen, log):
    if not listen:
        await assent.aio.Participant(service, log=log, question_interval=0.5).run()
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with assent.aio.UnaryServer(service, listen):
        await ended.wait()


if __name__ == "__main__":
    main()

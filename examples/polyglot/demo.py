#!/usr/bin/python3
"""One order that is paid in five places, each a payment service in another language: Go, Java, Python, Node and C++.

    tools/demo.sh --polyglot [--files FOLDER]

Builds what it needs (tools/languages.sh), starts a real assentd and the five services, each with a database of its own, and places orders:

    commits     through all five, in all three protocols: TCC in Go and Python, Saga in Java and Node, two-phase commit in C++
    refused     by the last one, and undone in all others
    killed      once for each service: it gets kill -9 when it has tried and before the end; started again, it is told the end

Then it reads the five databases. Exit status: 0 when every order ended as it should and the books balance, 1 when not.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import assent

from books import Order, faults, held_in, read, table
from shop import Shop

PATIENCE_S = 240  # a virtual machine on a busy computer takes a minute to begin
SOON = {"initial_backoff": 0.02, "max_backoff": 0.2, "attempt_timeout": 10.0}
PROTOCOLS = {"go": assent.Protocol.TCC, "java": assent.Protocol.SAGA, "python": assent.Protocol.TCC, "node": assent.Protocol.SAGA,
             "c++": assent.Protocol.TWO_PHASE}
# What the initiator does when the killed one has tried.
ENDS = {"go": "commit", "java": "rollback", "python": "commit", "node": "rollback", "c++": "commit"}


class Wrong(Exception):
    """A story has not gone as it should."""


def need(condition, what):
    if not condition:
        raise Wrong(what)


def plain(language):
    """As a gid and a branch may be called."""
    return language.replace("+", "p")


def branch(shop, language, protocol, order):
    payload = {"id": order, "customer": "Bob" if order == "refused" else "Ada", "article": "lamp", "quantity": 1, "coins": 60}
    return assent.Branch(protocol, shop.services[language].name, "charge", json.dumps(payload).encode(), id=plain(language), **SOON)


def commits(shop, client):
    """Go, Java, Python, Node, C++, one after the other: all say yes."""
    order = assent.Transaction("commits", deadline=PATIENCE_S, ordering=assent.Ordering.SEQUENTIAL)
    for language, protocol in PROTOCOLS.items():
        order.add(branch(shop, language, protocol, order.gid))
    report = client.submit(order, wait=assent.WaitFor.COMPLETED)
    need(report.committed, f"it is not committed: {report.outcome.name} {report.abort_reason}")
    return Order(order.gid, "Ada", 60, True), "COMMITTED in all five"


def refused(shop, client):
    """The last one, C++, says no: Bob has 20 coins there. What the four others did is undone."""
    order = assent.Transaction("refused", deadline=PATIENCE_S, ordering=assent.Ordering.SEQUENTIAL)
    for language, protocol in PROTOCOLS.items():
        order.add(branch(shop, language, protocol, order.gid))
    report = client.submit(order, wait=assent.WaitFor.COMPLETED)
    need(report.outcome == assent.Outcome.ABORTED, f"it is not aborted: {report.outcome.name}")
    need("insufficient funds: Bob has 20 coins, 60 asked" in report.abort_reason, f"aborted for another reason: {report.abort_reason}")
    for language in ("go", "java", "python", "node"):
        kept = read(language, shop.database(language)).payments.get(order.gid)
        need(kept is not None and kept[2] == "released", f"{language} was to charge, then to give back: {kept}")
    return Order(order.gid, "Bob", 60, False), f"ABORTED: {report.abort_reason}"


def killed(victim):
    def story(shop, client):
        gid = f"killed-{plain(victim)}"
        opened = client.begin(assent.Transaction(gid, deadline=PATIENCE_S))
        for language in PROTOCOLS:
            result = opened.execute(branch(shop, language, assent.Protocol.TCC, gid))
            need(not result.refused, f"{language} refuses: {result.reason}")
        shop.services[victim].kill()
        if ENDS[victim] == "commit":
            report, state = opened.commit(wait=assent.WaitFor.DECIDED), assent.State.COMMITTING
        else:
            report, state = opened.rollback("the customer has changed her mind", wait=assent.WaitFor.DECIDED), assent.State.ABORTING
        outcome = assent.Outcome.COMMITTED if ENDS[victim] == "commit" else assent.Outcome.ABORTED
        need(report.outcome == outcome, f"the initiator is told {report.outcome.name}, not {outcome.name}")
        need(client.get(gid).state == state, f"it is {client.get(gid).state.name} while {victim} is dead, not {state.name}")
        need(held_in(shop.database(victim), gid), f"{victim} was killed without holding anything")
        shop.services[victim].start()
        ended = client.wait(gid, wait=assent.WaitFor.COMPLETED, timeout=PATIENCE_S)
        need(ended.outcome == outcome, f"it has ended {ended.outcome.name}, not {outcome.name}")
        return Order(gid, "Ada", 60, outcome == assent.Outcome.COMMITTED), f"{outcome.name} while it was dead, and there when it came back"
    story.__doc__ = f"{victim} gets kill -9 between its try and the end."
    return story


STORIES = {"commits": commits, "refused": refused, **{f"killed-{plain(victim)}": killed(victim) for victim in PROTOCOLS}}


def run(shop):
    """The orders, and what went wrong."""
    orders, wrong = [], []
    with assent.Client(shop.endpoint, timeout=PATIENCE_S + 10) as client:
        for name, story in STORIES.items():
            began = time.monotonic()
            print(f"  {name:<14}{story.__doc__}", flush=True)
            try:
                order, said = story(shop, client)
            except (Wrong, assent.Error) as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
                print(f"  {'':<14}NOT as expected: {error}", flush=True)
                return orders, wrong  # what it has left open would count against the others
            orders.append(order)
            print(f"  {'':<14}{said} ({time.monotonic() - began:.1f} s)", flush=True)
    return orders, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, help="the folder with assentd and assent-demo-payment")
    parser.add_argument("--built", required=True, help="the folder with the services, as tools/languages.sh puts it together")
    parser.add_argument("--files", help="keep databases and logs in this folder")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assent-polyglot-") as folder:
        if flags.files:
            folder = os.path.abspath(flags.files)
            os.makedirs(folder)
        with Shop(flags.programs, flags.built, folder) as shop:
            print(f"A coordinator on {shop.endpoint}, and the payment service in Go, Java, Python, Node and C++.\n", flush=True)
            orders, wrong = run(shop)
            wrong += shop.stop()
            books = [read(language, shop.database(language)) for language in PROTOCOLS if os.path.exists(shop.database(language))]
            for one in books:
                wrong += faults(one, orders)
            if wrong:
                for process in shop.processes():
                    print(f"---- {process.name}\n{process.says()[-3000:]}", file=sys.stderr)
    print("\nThe books, from each service's own database:\n\n" + table(books) + "\n")
    for what in wrong:
        print(f"WRONG: {what}")
    good = not wrong and len(orders) == len(STORIES)
    print(f"polyglot: {len(STORIES)} orders, {len(orders)} as expected, books {'balanced' if good else 'NOT balanced or not complete'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

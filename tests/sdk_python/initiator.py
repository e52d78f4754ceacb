#!/usr/bin/python3
"""The initiator that `assent-contract initiator` starts: one transaction under each gid, asked again while nothing is known of it.

    initiator.py [--asyncio]
"""

import asyncio
import json
import os
import sys
import time

import assent
import assent.aio

# How long it asks again while nothing is known; and of one call, after which the loop here says the same again.
ASKS_FOR_S = int(os.environ.get("ASSENT_CONTRACT_GIVE_UP_MS", "10000")) / 1000
ONE_CALL_S = min(2.0, ASKS_FOR_S)


def conclusion(gid, call, ended):
    """One line: what `call` says of it, asked again while nothing is known."""
    while True:
        try:
            report = call()
            return said(gid, report)
        except (assent.UnknownOutcome, assent.Unavailable) as error:
            if time.monotonic() > ended:
                return line(gid, "unknown" if isinstance(error, assent.UnknownOutcome) else "not-begun", str(error))
        except assent.Error as error:
            return line(gid, "failed", f"{type(error).__name__}: {error}")


def said(gid, report):
    return line(gid, report.outcome.name.lower(), report.abort_reason)


def line(gid, word, detail):
    return json.dumps({"gid": gid, "conclusion": word, "detail": detail})


def payload(gid):
    return json.dumps({"account": gid, "amount": 1})


def interactive(client, gid):
    """Each step may be said again, with the same ids."""
    transaction = assent.Transaction(gid, deadline=20)
    order = client.begin(transaction)
    branch = assent.Branch(assent.Protocol.SAGA, "contract", "add", payload(gid).encode(), id="1")
    try:
        if order.execute(branch).refused:
            return client.wait(gid)
        return order.commit()
    except (assent.Aborted, assent.FailedPrecondition):
        return client.wait(gid)


async def with_asyncio(gids):
    """Each of its calls is a coroutine; the loop of repetition is the same."""
    async with assent.aio.Client(retry=assent.Retry(give_up_after=ONE_CALL_S)) as client:
        for gid in gids:
            transaction = assent.Transaction(gid, deadline=20).saga("contract", "add", payload(gid))
            ended = time.monotonic() + ASKS_FOR_S
            while True:
                try:
                    print(said(gid, await client.submit(transaction)), flush=True)
                    break
                except (assent.UnknownOutcome, assent.Unavailable) as error:
                    if time.monotonic() > ended:
                        print(line(gid, "unknown" if isinstance(error, assent.UnknownOutcome) else "not-begun", str(error)), flush=True)
                        break
                except assent.Error as error:
                    print(line(gid, "failed", f"{type(error).__name__}: {error}"), flush=True)
                    break


def main():
    kind, gids = os.environ["ASSENT_CONTRACT_CALL"], os.environ["ASSENT_CONTRACT_GIDS"].split(",")
    if kind == "stream":
        return 77  # there is none here
    if "--asyncio" in sys.argv:
        if kind != "submit":
            return 77
        asyncio.run(with_asyncio(gids))
        return 0
    with assent.Client(retry=assent.Retry(give_up_after=ONE_CALL_S)) as client:
        for gid in gids:
            transaction = assent.Transaction(gid, deadline=20).saga("contract", "add", payload(gid))
            call = (lambda: interactive(client, gid)) if kind == "interactive" else (lambda: client.submit(transaction))
            print(conclusion(gid, call, time.monotonic() + ASKS_FOR_S), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

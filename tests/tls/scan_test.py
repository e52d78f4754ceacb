#!/usr/bin/python3
"""An outside scanner's view of both listeners, and the table of it in docs/security.md: the page and what is seen are the same.

`scan_test.py --table` prints the table.
"""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../ctl")]

from certificates import Authority, read, write  # noqa: E402
from daemon import Daemon, free_port  # noqa: E402
from scan import Scan  # noqa: E402

PAGE = os.path.join(HERE, "../../docs/security.md")


def of_both(key):
    """The tables of a coordinator whose certificate has such a key: of gRPC, of HTTP."""
    ca = Authority()
    try:
        pair = ca.make("coordinator", key=key)
        write(pair.cert, read(pair.cert) + read(ca.ca))
        http = f"127.0.0.1:{free_port()}"
        daemon = Daemon("--tls-cert", pair.cert, "--tls-key", pair.key, "--http-listen", http)
        try:
            return Scan(daemon.endpoint, b"h2").table(), Scan(http, b"http/1.1").table()
        finally:
            daemon.close()
    finally:
        ca.close()


def rows():
    (grpc, http), (grpc_rsa, http_rsa) = of_both("ec"), of_both("rsa")
    table = []
    for what in grpc:
        cells = []
        for ec, rsa in ((grpc, grpc_rsa), (http, http_rsa)):
            cells.append(ec[what] if ec[what] == rsa[what] else f"{ec[what]}; with an RSA key {rsa[what]}")
        table.append(f"| {what} | {cells[0]} | {cells[1]} |")
    return table


class View(unittest.TestCase):
    def test_the_page_says_what_is_seen(self):
        seen = rows()
        page = read(PAGE)
        there = page[page.index("| seen from outside | gRPC | HTTP |"):].split("\n\n")[0].splitlines()[2:]
        self.assertEqual(there, seen)


if __name__ == "__main__":
    if "--table" in sys.argv:
        print("\n".join(rows()))
    else:
        unittest.main()

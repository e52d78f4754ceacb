"""The shop's payment service in Python: keeps the customers' accounts. One action, `charge`.

    TCC    TRY holds, CONFIRM spends what is held, CANCEL gives it back
    Saga   ACTION spends at once, COMPENSATE refunds

However it goes, balance + held + spent of a customer is always what it was in the beginning.
"""

import sys

import assent

TABLES = """
CREATE TABLE IF NOT EXISTS account(customer TEXT PRIMARY KEY, balance INTEGER NOT NULL,
  held INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS payment(order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, coins INTEGER NOT NULL, status TEXT NOT NULL);
INSERT OR IGNORE INTO account(customer, balance) VALUES ('Ada', 5000), ('Bob', 5000)"""


def move(source, target, status):
    """A handler that takes an order's coins from one column of its customer's account to another."""
    def handler(tx, call):
        order = call.json()
        coins, customer = order["coins"], order["customer"]
        change = f"UPDATE account SET {source} = {source} - ?1, {target} = {target} + ?1 WHERE customer = ?2 AND {source} >= ?1"
        if tx.execute(change, [coins, customer]).rowcount == 0:
            raise assent.Refused(f"insufficient funds: {coins} coins asked of {customer}")
        tx.execute("INSERT INTO payment VALUES (?, ?, ?, ?) ON CONFLICT(order_id) DO UPDATE SET status = excluded.status",
                   [order["id"], customer, coins, status])
    return handler


db = assent.SQLite(sys.argv[1], tables=TABLES)
charge = db.tcc("charge")(move("balance", "held", "held"))
charge.confirm(move("held", "spent", "paid"))
charge.cancel(move("held", "balance", "released"))
db.saga("charge")(move("balance", "spent", "paid")).compensate(move("spent", "balance", "released"))

assent.Participant(assent.Service("payment-python", db), log=lambda line: print(line, file=sys.stderr, flush=True)).run()

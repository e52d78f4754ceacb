"""What must be true of the five databases, read with plain SQL from each service's own file."""

import dataclasses
import sqlite3

# What each service opens business with (of C++: examples/order/payment_service.cc).
OPENED = {"Ada": 5000, "Bob": 5000}
OPENED_CPP = {"Ada": 5000, "Bob": 20}


@dataclasses.dataclass(frozen=True)
class Order:
    """One that the initiator has been told the outcome of. `coins`: paid by each service."""

    id: str
    customer: str
    coins: int
    committed: bool


@dataclasses.dataclass
class Books:
    language: str
    accounts: dict  # customer: (balance, held, spent)
    payments: dict  # order id: (customer, coins, status)

    def opened(self):
        return OPENED_CPP if self.language == "c++" else OPENED


def read(language, path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        accounts = {row[0]: row[1:] for row in connection.execute("SELECT customer, balance, held, spent FROM account ORDER BY customer")}
        payments = {row[0]: row[1:] for row in connection.execute("SELECT order_id, customer, coins, status FROM payment")}
    finally:
        connection.close()
    return Books(language, accounts, payments)


def held_in(path, order_id):
    """Whether a service holds coins for an order: it has tried, and neither confirmed nor cancelled."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT status FROM payment WHERE order_id = ?", [order_id]).fetchone()
    finally:
        connection.close()
    return row is not None and row[0] == "held"


def faults(books, orders):
    """What is wrong, a sentence each; none: these books are right."""
    wrong = []
    where = f"payment in {books.language}"
    if set(books.accounts) != set(books.opened()):
        return [f"{where}: the customers are {sorted(books.accounts)}"]
    for customer, (balance, held, spent) in books.accounts.items():
        bought = sum(order.coins for order in orders if order.committed and order.customer == customer)
        if balance + held + spent != books.opened()[customer]:
            wrong.append(f"{where}: {customer} had {books.opened()[customer]} coins, and has {balance + held + spent}")
        if held != 0:
            wrong.append(f"{where}: {held} coins of {customer} are still held")
        if spent != bought:
            wrong.append(f"{where}: {customer} has spent {spent} coins, in committed orders {bought}")
    for order in orders:
        kept = books.payments.get(order.id)
        if order.committed and kept != (order.customer, order.coins, "paid"):
            wrong.append(f"{where}: order {order.id} is committed, and its payment is {kept}")
        if not order.committed and kept is not None and kept[2] != "released":
            wrong.append(f"{where}: order {order.id} is aborted, and its payment is {kept}")
    unknown = set(books.payments) - {order.id for order in orders}
    if unknown:
        wrong.append(f"{where}: payments of orders that nobody placed: {sorted(unknown)}")
    return wrong


def table(all_books):
    """For people."""
    lines = [f"  {'payment in':<12}{'customer':<10}{'balance':>8}{'held':>6}{'spent':>7}{'sum':>7}{'opened with':>13}"]
    for books in all_books:
        for customer, numbers in books.accounts.items():
            balance, held, spent = numbers
            lines.append(f"  {books.language:<12}{customer:<10}{balance:>8}{held:>6}{spent:>7}{sum(numbers):>7}"
                         f"{books.opened().get(customer, 0):>13}")
    return "\n".join(lines)

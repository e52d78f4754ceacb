#!/usr/bin/python3
"""What the polyglot demonstration believes about the books: right ones are right, and each way of being wrong is noticed."""

import os
import sqlite3
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/polyglot"))

from books import Order, faults, held_in, read, table  # noqa: E402

ORDERS = [Order("one", "Ada", 60, True), Order("two", "Bob", 60, False), Order("three", "Ada", 40, True)]
RIGHT = """
CREATE TABLE account(customer TEXT PRIMARY KEY, balance INTEGER, held INTEGER, spent INTEGER);
CREATE TABLE payment(order_id TEXT PRIMARY KEY, customer TEXT, coins INTEGER, status TEXT);
INSERT INTO account VALUES ('Ada', 4900, 0, 100), ('Bob', 5000, 0, 0);
INSERT INTO payment VALUES ('one', 'Ada', 60, 'paid'), ('two', 'Bob', 60, 'released'), ('three', 'Ada', 40, 'paid')"""


class BooksTest(unittest.TestCase):
    def books(self, change=""):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "payment.db")
        connection = sqlite3.connect(self.path)
        connection.executescript(RIGHT + ";" + change)
        connection.close()
        return read("go", self.path)

    def test_right_ones(self):
        books = self.books()
        self.assertEqual(faults(books, ORDERS), [])
        # What was never tried, or was refused, has no payment, and that is right as well.
        self.assertEqual(faults(self.books("DELETE FROM payment WHERE order_id = 'two'"), ORDERS), [])
        self.assertIn("4900     0    100   5000         5000", table([books]))

    def test_each_way_of_being_wrong(self):
        for change, said in (
                ("UPDATE account SET balance = balance + 1 WHERE customer = 'Bob'", "Bob had 5000 coins, and has 5001"),
                ("UPDATE account SET balance = balance - 60, held = 60 WHERE customer = 'Bob'", "60 coins of Bob are still held"),
                ("UPDATE account SET balance = balance + 40, spent = 60 WHERE customer = 'Ada'", "Ada has spent 60 coins, in committed orders 100"),
                ("DELETE FROM payment WHERE order_id = 'one'", "order one is committed, and its payment is None"),
                ("UPDATE payment SET coins = 61 WHERE order_id = 'one'", "order one is committed"),
                ("UPDATE payment SET status = 'held' WHERE order_id = 'three'", "order three is committed"),
                ("UPDATE payment SET status = 'paid' WHERE order_id = 'two'", "order two is aborted"),
                ("INSERT INTO payment VALUES ('four', 'Ada', 1, 'released')", "orders that nobody placed: ['four']"),
                ("DELETE FROM account WHERE customer = 'Bob'", "the customers are ['Ada']")):
            with self.subTest(change):
                found = faults(self.books(change), ORDERS)
                self.assertTrue(any(said in one for one in found), found)

    def test_held(self):
        self.books("INSERT INTO payment VALUES ('four', 'Ada', 1, 'held')")
        self.assertTrue(held_in(self.path, "four"))
        self.assertFalse(held_in(self.path, "one"))
        self.assertFalse(held_in(self.path, "never"))


if __name__ == "__main__":
    unittest.main()

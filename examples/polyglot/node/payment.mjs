// The shop's payment service in Node: keeps the customers' accounts. One action, `charge`.
//
//   TCC    TRY holds, CONFIRM spends what is held, CANCEL gives it back
//   Saga   ACTION spends at once, COMPENSATE refunds
//
// However it goes, balance + held + spent of a customer is always what it was in the beginning.

import { Participant, Refused, Service, SQLite } from "assent-sdk";

const db = new SQLite(process.argv[2], {
  tables: `
    CREATE TABLE IF NOT EXISTS account(customer TEXT PRIMARY KEY, balance INTEGER NOT NULL,
      held INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS payment(order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, coins INTEGER NOT NULL, status TEXT NOT NULL);
    INSERT OR IGNORE INTO account(customer, balance) VALUES ('Ada', 5000), ('Bob', 5000)`,
});

/** A handler that takes an order's coins from one column of its customer's account to another. */
const move = (from, to, status) => (tx, call) => {
  const { id, customer, coins } = JSON.parse(call.text);
  const changed = tx.run(`UPDATE account SET ${from} = ${from} - ?, ${to} = ${to} + ? WHERE customer = ? AND ${from} >= ?`,
    [coins, coins, customer, coins]);
  if (changed === 0) throw new Refused(`insufficient funds: ${coins} coins asked of ${customer}`);
  tx.run("INSERT INTO payment VALUES (?, ?, ?, ?) ON CONFLICT(order_id) DO UPDATE SET status = excluded.status", [id, customer, coins, status]);
};

db.tcc("charge", {
  try: move("balance", "held", "held"),
  confirm: move("held", "spent", "paid"),
  cancel: move("held", "balance", "released"),
});
db.saga("charge", { action: move("balance", "spent", "paid"), compensate: move("spent", "balance", "released") });

await new Participant(new Service("payment-node", db), { log: console.error }).run();

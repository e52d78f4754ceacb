// A payment service: it keeps an account, from which an order's amount is reserved, then taken or given back.
//
//     node example/payment.mjs
//     echo '{"branches": [{"protocol": "tcc", "service": "payment", "action": "charge", "payload": 60}]}' | assentctl submit

import { Participant, Refused, Service, SQLite } from "assent-sdk";

const db = new SQLite("payment.db", {
  tables: `CREATE TABLE IF NOT EXISTS account(coins INTEGER NOT NULL, reserved INTEGER NOT NULL);
    INSERT INTO account SELECT 100, 0 WHERE NOT EXISTS (SELECT 1 FROM account)`,
});

/** Changes the account by the call's amount, as often as it is asked, once. */
const move = (coins, reserved) => (tx, call) => {
  const amount = Number(call.text);
  if (!Number.isInteger(amount) || amount <= 0) throw new Refused("the payload has to be a number of coins");
  const changed = tx.run("UPDATE account SET coins = coins + ?, reserved = reserved + ? WHERE coins + ? >= 0",
    [coins * amount, reserved * amount, coins * amount]);
  if (changed === 0) throw new Refused("not enough coins");
};

db.tcc("charge", { try: move(-1, 1), confirm: move(0, -1), cancel: move(1, -1) });

await new Participant(new Service("payment", db), { log: console.log }).run();

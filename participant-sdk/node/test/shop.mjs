// Two services with a database each: of stock something is reserved, money is taken.

import { join } from "node:path";
import * as assent from "assent-sdk";
import { folder, until } from "./rig.mjs";

/** A service with one number. */
export class Ledger {
  constructor(t, name, start, more = {}) {
    this.name = name;
    this.options = more;
    this.db = new assent.SQLite(join(folder(t), "books.db"), {
      tables: `CREATE TABLE IF NOT EXISTS books(free INTEGER NOT NULL, held INTEGER NOT NULL);
        INSERT INTO books SELECT ${start}, 0 WHERE NOT EXISTS (SELECT 1 FROM books)` });
    const move = (free, held) => (tx, call) => {
      const amount = Number(call.text);
      tx.run("UPDATE books SET free = free + ?, held = held + ?", [free * amount, held * amount]);
      const left = tx.get("SELECT free FROM books").free;
      if (left < 0) throw new assent.Refused("not enough");
      return String(left);
    };
    this.db.tcc("take", { try: move(-1, 1), confirm: move(0, -1), cancel: move(1, -1) });
    this.service = new assent.Service(name, this.db);
    t.after(async () => {
      await this.participant?.stop();
      await this.db.close();
    });
  }

  async join(endpoint) {
    this.participant = await new assent.Participant(this.service, { endpoints: endpoint, ...this.options }).start();
    await this.participant.waitConnected(20_000);
  }

  books() {
    return this.db.transaction((tx) => tx.get("SELECT free, held FROM books"));
  }

  async want(free) {
    await until(`${this.name} has ${free}, and nothing held`, async () => {
      const books = await this.books();
      return books.free === free && books.held === 0;
    });
  }
}

export const order = (amount = 1) => new assent.Transaction().tcc("stock", "take", "1").tcc("money", "take", String(amount));

export async function openShop(t, endpoint, more) {
  const shop = { stock: new Ledger(t, "stock", 1000, more), money: new Ledger(t, "money", 100, more) };
  await shop.stock.join(endpoint);
  await shop.money.join(endpoint);
  return shop;
}

export function clientOf(t, options) {
  const client = new assent.Client(options);
  t.after(() => client.close());
  return client;
}

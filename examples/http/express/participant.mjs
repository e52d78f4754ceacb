// A hotel that takes part over HTTP: node participant.mjs
import * as assent from "assent-sdk";
import express from "express";

const db = new assent.SQLite("hotel.db", { tables: "CREATE TABLE IF NOT EXISTS room(name TEXT PRIMARY KEY, state TEXT)" });
db.tcc("book", {
  try: (tx, call) => {
    if (tx.get("SELECT 1 FROM room WHERE name = ?", [call.text])) throw new assent.Refused(`room ${call.text} is taken`);
    tx.run("INSERT INTO room VALUES (?, 'held')", [call.text]);
  },
  confirm: (tx, call) => tx.run("UPDATE room SET state = 'booked' WHERE name = ?", [call.text]),
  cancel: (tx, call) => tx.run("DELETE FROM room WHERE name = ?", [call.text]),
});
const endpoint = await new assent.HttpEndpoint(new assent.Service("hotel", db)).start();
express()
  .post("/assent", express.raw({ type: "application/json", limit: assent.MAX_BODY_BYTES }), endpoint.handler())
  .listen(Number(process.env.PORT ?? 5001), "127.0.0.1");

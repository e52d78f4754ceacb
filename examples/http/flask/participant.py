"""A bank that takes part over HTTP: flask --app participant run --port 5000"""
import assent
import assent.http
from flask import Flask, request

db = assent.SQLite("bank.db", tables="CREATE TABLE IF NOT EXISTS debit(gid TEXT, cents INTEGER, state TEXT)")


@db.tcc("debit")
def hold(tx, call):
    if call.json()["cents"] > 1000:
        raise assent.Refused("no account here has so much")
    tx.execute("INSERT INTO debit VALUES (?, ?, 'held')", [call.gid, call.json()["cents"]])


@hold.confirm
def pay(tx, call):
    tx.execute("UPDATE debit SET state = 'paid' WHERE gid = ?", [call.gid])


@hold.cancel
def release(tx, call):
    tx.execute("DELETE FROM debit WHERE gid = ?", [call.gid])


endpoint = assent.http.Endpoint(assent.Service("bank", db))
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = assent.http.MAX_BODY_BYTES
app.post("/assent")(lambda: endpoint.answer(request.get_data(), request.headers))

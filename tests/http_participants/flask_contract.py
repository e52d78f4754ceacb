#!/usr/bin/python3
"""The standard actions of docs/contract.md behind Flask, on the Python SDK with SQLite; served as examples/http/flask is."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../sdk_python")]

import assent  # noqa: E402
import assent.http  # noqa: E402
import bank  # noqa: E402
from flask import Flask, request  # noqa: E402

db, accounts = bank.database("sqlite", os.environ["ASSENT_CONTRACT_FOLDER"])
bank.add_actions(db, accounts, with_two_phase=False)
secret_file = "" if "--believe-everybody" in sys.argv else os.environ.get("ASSENT_CONTRACT_SECRET_FILE", "")
endpoint = assent.http.Endpoint(assent.Service("contract", db), secret_file=secret_file)
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = assent.http.MAX_BODY_BYTES
app.post(os.environ["ASSENT_CONTRACT_PATH"])(lambda: endpoint.answer(request.get_data(), request.headers))

if __name__ == "__main__":
    host, port = os.environ["ASSENT_CONTRACT_LISTEN"].rsplit(":", 1)
    app.run(host, int(port), threaded=True)

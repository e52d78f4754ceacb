#!/usr/bin/python3
"""Each member tells of its own: whoever takes over what needs a person tells of it again, as the same event."""

import json
import os
import sys
import tempfile
import unittest

import members
from members import Ctl

sys.path.insert(0, os.path.join(members.HERE, "../webhook"))

from receiver import SECRET, Receiver, verify_of_the_page  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402


class Webhook(members.MembersTest):
    def test_the_heir_tells_it_again(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-webhook-")
        self.addCleanup(folder.cleanup)
        secret = f"{folder.name}/secret"
        with open(secret, "w", encoding="utf-8") as file:
            file.write(SECRET)
        receiver, shop = Receiver(), ScriptedParticipant()
        self.addCleanup(receiver.close)
        self.addCleanup(shop.down)
        hooked = ("--unary", f"shop={shop.address}", "--webhook-url", f"http://127.0.0.1:{receiver.port}/", "--webhook-secret-file", secret)
        running = {name: self.member(name, *hooked) for name in ("a", "b")}
        ctl = Ctl(running["a"].endpoint)
        self.until(lambda: {0 < one["slots"] < 1024 for one in ctl("cluster", "-o", "json").json["members"]} == {True})
        shop.answer("reserve", "CONFIRM", REPLY.REFUSED, reason="not reserved here")
        hour = {"initial_backoff": "1h", "max_backoff": "1h"}
        made = ctl("submit", "--gid", "order-1", "--for", "accepted", stdin=json.dumps(
            {"branches": [{"protocol": "tcc", "service": "shop", "action": "reserve", "retry": hour}]}))
        self.assertIn(made.code, (0, 11, 12), made)  # how far it has come
        self.until(lambda: receiver.events)
        first = json.loads(receiver.events[0][2])
        heir = {"a": "b", "b": "a"}[first["node"]]
        running[first["node"]].process.kill()
        self.until(lambda: len(receiver.events) > 1)
        second = json.loads(receiver.events[1][2])
        self.assertEqual((first["id"], "hazard", "order-1", heir), (second["id"], second["kind"], second["gid"], second["node"]))
        verify = verify_of_the_page()
        for _, headers, body, _ in receiver.events:
            self.assertTrue(verify(SECRET.encode(), headers["Assent-Signature"], body))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""The console of a coordinator with rules, in a browser: a login, what each role is shown, and a page of another origin in the same browser,
which tries what such pages can."""

import http.server
import os
import re
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http")]

from browser import browser_of_all  # noqa: E402
from sessions_rig import Asked, order, read  # noqa: E402


class Page(http.server.BaseHTTPRequestHandler):
    """Of another origin."""

    def do_GET(self):
        body = b"<!doctype html><title>evil</title><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Foreign:
    def __init__(self):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Console(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Asked()
        cls.addClassCleanup(cls.daemon.close)
        cls.browser = browser_of_all()
        cls.addClassCleanup(cls.browser.leave)
        bearer = {"Authorization": "Bearer " + cls.daemon.secrets["cas"]}
        for gid in ("waits", "target"):
            code, _, said = cls.daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order(gid, service="gone", deadlineMs="3600000"), bearer)
            assert code == 200, said

    def setUp(self):
        self.browser.leave()
        self.browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def open(self, where="#/", host="127.0.0.1"):
        self.browser.open(f"http://{host}:{self.daemon.port}/console/{where}")

    def log_in(self, who, where="#/"):
        self.open(where)
        self.browser.see("Who are you?")
        self.browser.type("input[name=token]", self.daemon.secrets[who])
        self.browser.click("form.login button", "Log in")

    def state(self, gid="target"):
        return self.daemon.ask("GET", f"/v1/transactions/{gid}", None, {"Authorization": "Bearer " + self.daemon.secrets["ann"]})[2]


class Login(Console):
    def test_who_has_not_said_who_he_is_sees_nothing(self):
        self.open("#/transactions/waits")
        self.browser.see("Who are you?")
        self.assertNotIn("waits", self.browser.text("main"))
        self.assertEqual(0, self.browser.count(".tabs a"))
        self.browser.type("input[name=token]", "assent_ann_" + "0" * 64)
        self.browser.click("form.login button", "Log in")
        self.browser.see("the token is not one of this coordinator's", "form .trouble")

    def test_an_operator_acts(self):
        self.log_in("ann")
        self.browser.see("gone: not connected", ".causes")
        self.browser.see("token:ann", ".who")
        # No page can read the cookie, and nothing of the token is kept where one could.
        self.assertEqual("", self.browser.run("return document.cookie"))
        self.assertNotIn(self.daemon.secrets["ann"], self.browser.run("return JSON.stringify({...localStorage, ...sessionStorage})"))
        self.open("#/transactions/waits")
        self.browser.click("main button", "Suspend…")
        self.browser.see("On record as token:ann", "dialog")
        self.browser.type("dialog input[name=who]", "Ann")
        self.browser.type("dialog input[name=reason]", "look first")
        self.browser.click("dialog button[type=submit]")
        self.browser.wait(lambda: self.state("waits")["suspended"], "it is not suspended")
        self.assertIn("token:ann", self.state("waits")["interventions"][0]["who"])
        # Forgetting is an admin's: not offered, and said why where its state would allow it.
        self.browser.click(".who button", "Log out")
        self.browser.see("Who are you?")
        self.browser.run("location.hash = '#/'")
        self.browser.see("Who are you?")

    def test_a_viewer_is_told_why_he_may_not(self):
        self.log_in("ben", "#/transactions/target")
        self.browser.see("Is it stuck?")
        self.assertEqual(0, self.browser.count(".actions button"))
        self.browser.see("token:ben may not act on transactions: it has viewer.", ".actions")
        self.open()
        self.browser.click(".cause > h2 > button", "gone")
        self.browser.see("token:ben may not act on transactions", ".causes")

    def test_an_initiator_finds_its_own(self):
        self.log_in("cas")
        self.browser.see("token:cas may not look at everything: it has initiator.")
        self.assertEqual(0, self.browser.count(".tabs a"))
        self.browser.type("input[name=gid]", "target")
        self.browser.driver.switch_to.active_element.submit()
        self.browser.see("Is it stuck?")

    def test_a_session_that_ends_leads_to_the_login(self):
        self.log_in("ann")
        self.browser.see("gone: not connected", ".causes")
        kept = read(self.daemon.tokens)
        try:
            with open(self.daemon.tokens, "w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in kept.splitlines() if not line.startswith("ann"))
            self.daemon.reload()
            self.browser.see("Who are you?")
            self.assertNotIn("gone", self.browser.text("main"))
        finally:
            with open(self.daemon.tokens, "w", encoding="utf-8") as file:
                file.write(kept)
            self.daemon.reload()


class Elsewhere(Console):
    """A page of another origin, while somebody is logged in: of another port (the same site), and of another host."""

    ATTEMPTS = """
      const [base, done] = arguments;
      const body = JSON.stringify({ action: { who: "eve", reason: "r" } });
      const tried = [];
      const attempt = async (options) => {
        try { const r = await fetch(base + "/v1/transactions/target:abort", { method: "POST", credentials: "include", ...options }); tried.push(r.type + r.status); }
        catch (error) { tried.push("refused"); }
      };
      (async () => {
        await attempt({ body, headers: { "Content-Type": "application/json" } });
        await attempt({ body, headers: { "Content-Type": "application/json", "X-Assent-Csrf": "x" } });
        await attempt({ body, mode: "no-cors", headers: { "Content-Type": "text/plain" } });
        await attempt({ mode: "no-cors" });
        for (const path of ["/v1/server", "/v1/login", "/v1/transactions/target"]) {
          try { tried.push("read " + (await (await fetch(base + path, { credentials: "include" })).text())); } catch (error) { tried.push("refused"); }
        }
        await new Promise((ready) => { const image = new Image(); image.onload = image.onerror = ready; image.src = base + "/v1/transactions/target"; });
        tried.push(String(navigator.sendBeacon(base + "/v1/transactions/target:abort", new Blob([body], { type: "text/plain" }))));
        const frame = document.createElement("iframe"); frame.name = "frame"; document.body.append(frame);
        const form = document.createElement("form"); form.method = "POST"; form.enctype = "text/plain"; form.target = "frame";
        form.action = base + "/v1/transactions/target:abort";
        const field = document.createElement("input"); field.name = body.slice(0, -1) + ', "x": "'; field.value = '"}'; form.append(field); document.body.append(form);
        await new Promise((ready) => { frame.onload = ready; form.submit(); });
        const shown = document.createElement("iframe"); document.body.append(shown);
        await new Promise((ready) => { shown.onload = ready; shown.src = base + "/console/"; });
        let seen = ""; try { seen = shown.contentDocument ? shown.contentDocument.body.innerText : ""; } catch (error) { seen = ""; }
        done({ tried, seen });
      })();
    """

    def tried_from(self, page):
        self.browser.driver.set_script_timeout(60)
        self.browser.driver.get(page)
        self.assertEqual("evil", self.browser.driver.title)
        got = self.browser.driver.execute_async_script(self.ATTEMPTS, f"http://127.0.0.1:{self.daemon.port}")
        self.assertFalse([one for one in got["tried"] if one.startswith("read")], "it has read an answer")
        self.assertFalse([one for one in got["tried"] if re.fullmatch(r"(basic|cors)\d+", one)], got)
        self.assertEqual("", got["seen"])
        state = self.state()
        self.assertEqual(("ACTIVE", []), (state["state"], state["interventions"]))

    def test_nothing_is_changed_and_nothing_read(self):
        foreign = Foreign()
        self.addCleanup(foreign.close)
        self.log_in("ann")
        self.browser.see("gone: not connected", ".causes")
        for host in ("127.0.0.1", "localhost"):
            self.tried_from(f"http://{host}:{foreign.port}/")
        # It is still logged in, and what it may it may.
        self.open()
        self.browser.see("gone: not connected", ".causes")
        self.browser.log()

    def test_a_name_that_was_pointed_here(self):
        self.browser.log()
        self.open(host="localhost")
        self.browser.see("Who are you?")
        connection = self.daemon.ask("GET", "/v1/login", None, {"Host": f"rebound.example:{self.daemon.port}", "Origin": f"http://rebound.example:{self.daemon.port}"})
        self.assertEqual(421, connection[0])


if __name__ == "__main__":
    unittest.main()

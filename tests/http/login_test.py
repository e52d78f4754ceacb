#!/usr/bin/python3
"""The console's login against a real assentd: who gets a session, what it is worth, what ends it, and what a page of somebody else's
can do with it (nothing)."""

import re
import unittest

from sessions_rig import Asked, PAGE, order, read
from rig import Daemon

SESSIONS_EACH = 16  # kMaxSessionsPerIdentityCount


class Login(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Asked()
        cls.addClassCleanup(cls.daemon.close)

    def tearDown(self):
        self.daemon.allow("token:ann as operator", "token:ben as viewer", "token:cas as initiator for *")
        self.daemon.reload()

    def test_what_a_login_gives(self):
        code, headers, said = self.daemon.log_in("ann")
        self.assertEqual(200, code)
        name, value = headers["Set-Cookie"].split(";")[0].split("=")
        self.assertEqual(f"assent-{self.daemon.port}", name)
        self.assertRegex(value, "^[0-9a-f]{64}$")
        attributes = {one.strip() for one in headers["Set-Cookie"].split(";")[1:]}
        self.assertEqual({"Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=28800"}, attributes)
        self.assertEqual(("token:ann", "SESSION", "operator"), (said["identity"], said["by"], said["roles"]))
        self.assertIn("OPERATE", said["may"])
        self.assertNotIn("ADMINISTER", said["may"])
        self.assertNotIn(value, str(said), "the cookie is not for pages")
        self.assertEqual("no-store", headers["Cache-Control"])
        other = self.daemon.log_in("ann")[1]["Set-Cookie"].split(";")[0]
        self.assertNotEqual(f"{name}={value}", other)

    def test_who_one_is(self):
        _, _, said = self.daemon.ask("GET", "/v1/login")
        self.assertEqual((True, "", "NOTHING", []), (said["rules"], said["identity"], said["by"], said["may"]))
        _, _, said = self.daemon.ask("GET", "/v1/login", None, {"Authorization": "Bearer " + self.daemon.secrets["ben"]})
        self.assertEqual(("token:ben", "TOKEN", ""), (said["identity"], said["by"], said["csrf"]))
        self.assertEqual(401, self.daemon.ask("GET", "/v1/login", None, {"Authorization": "Bearer nobody"})[0])
        session = self.daemon.session("ben")
        _, _, said = session.get("/v1/login")
        self.assertEqual(("token:ben", "SESSION", session.csrf), (said["identity"], said["by"], said["csrf"]))

    def test_a_wrong_token_is_on_record(self):
        daemon = Asked()  # of a stranger the first call of a minute is a row
        self.addCleanup(daemon.close)
        self.assertEqual(401, daemon.ask("GET", "/v1/login", None, {"Authorization": "Bearer nobody"})[0])
        _, _, record = daemon.ask("GET", "/v1/audit?refused=true", None, {"Authorization": "Bearer " + daemon.secrets["ann"]})
        self.assertEqual([("", "GET /v1/login")], [(one.get("who", ""), one["detail"]) for one in record["entries"]])

    def test_who_gets_none(self):
        secret = self.daemon.secrets["ann"]
        for token in ("x", secret[:-1] + ("0" if secret[-1] != "0" else "1"), "assent_ann_" + "0" * 64):
            code, headers, _ = self.daemon.log_in("", token)
            self.assertEqual(401, code)
            self.assertNotIn("Set-Cookie", headers)
        for body in ("{}", "[]", '{"token": 1}', '{"token": ""}', '{"token": "a b"}', '{"token": "a\\r\\nb"}', '{"token": "é"}',
                     '{"token": "a", "more": 1}', "no JSON", "[" * 60000, '{"token": "' + "x" * 8193 + '"}'):
            code, headers, said = self.daemon.ask("POST", "/v1/login", body, PAGE)
            self.assertEqual(400, code, (body[:40], said))
            self.assertNotIn("Set-Cookie", headers)
        self.assertEqual(413, self.daemon.ask("POST", "/v1/login", '{"token": "' + "x" * 65536 + '"}')[0])
        self.assertEqual(405, self.daemon.ask("PUT", "/v1/login", "{}")[0])
        self.assertEqual(405, self.daemon.ask("GET", "/v1/logout")[0])

    def test_a_session_may_what_its_token_may(self):
        ann, ben = (self.daemon.session(who) for who in ("ann", "ben"))
        for session, code in ((ann, 404), (ben, 403)):
            self.assertEqual(code, session.post("/v1/transactions/none:retry", {"action": {"who": "x", "reason": "y"}})[0])
        for session in (ann, ben):
            self.assertEqual(200, session.get("/v1/server")[0])
            self.assertEqual(200, session.get("/metrics")[0])
        code, headers, said = self.daemon.log_in("nobody")
        self.assertEqual((403, "no rule gives token:nobody a role"), (code, said["message"]))
        self.assertNotIn("Set-Cookie", headers, "it would take room from others'")

    def test_a_cookie_alone_changes_nothing(self):
        ann = self.daemon.session("ann")
        ben = self.daemon.session("ben")
        target, body = "/v1/transactions/none:retry", {"action": {"who": "x", "reason": "y"}}
        self.assertEqual(404, ann.post(target, body)[0])
        for wrong in ("", "x", ann.csrf[:-1], ann.csrf + "0", ben.csrf, ann.cookie.split("=")[1]):
            code, _, said = ann.post(target, body, **{"X-Assent-Csrf": wrong})
            self.assertEqual(403, code)
            self.assertIn("x-assent-csrf", said["message"])
        # What shows the token itself needs none: no browser sends that by itself.
        self.assertEqual(404, self.daemon.ask("POST", target, body, {"Authorization": "Bearer " + self.daemon.secrets["ann"]})[0])
        # Neither does a logout come from elsewhere.
        self.assertEqual(403, ann.post("/v1/logout", {}, **{"X-Assent-Csrf": ben.csrf})[0])
        self.assertEqual("token:ann", ann.who())

    def test_what_a_page_of_somebody_elses_sends(self):
        ann = self.daemon.session("ann")
        for site in ("cross-site", "same-site"):
            for mode, dest in (("no-cors", "image"), ("no-cors", "empty"), ("cors", "empty"), ("navigate", "iframe"), ("websocket", "empty")):
                more = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
                for target in ("/v1/server", "/metrics", "/console/", "/v1/login", "/livez"):
                    self.assertEqual(403, ann.get(target, **more)[0], (target, more))
                for target in ("/v1/transactions/none:retry", "/v1/login", "/v1/logout"):
                    self.assertEqual(403, ann.post(target, {}, **more)[0], (target, more))
            # A link that somebody follows.
            self.assertEqual(200, ann.get("/console/", **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"})[0])
            # A form that it sends.
            code = ann.post("/v1/logout", None, **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"})[0]
            self.assertEqual(403, code)
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{self.daemon.port + 1}", f"http://localhost:{self.daemon.port}"):
            self.assertEqual(403, ann.post("/v1/logout", {}, Origin=origin)[0], origin)
        code, headers, _ = self.daemon.ask("OPTIONS", "/v1/login", None, {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
        self.assertEqual(403, code)
        self.assertFalse([one for one in headers if one.lower().startswith("access-control")])
        self.assertEqual(421, ann.get("/v1/server", Host=f"evil.example:{self.daemon.port}")[0])
        self.assertEqual("token:ann", ann.who())

    def test_what_is_not_its_cookie(self):
        ann = self.daemon.session("ann")
        name, value = ann.cookie.split("=")
        for cookie in (f"{name}={'0' * 64}", f"{name}={value[:-1]}", f"{name}={value.upper()}", f"{name}=x"):
            code, headers, said = ann.get("/v1/server", Cookie=cookie)
            self.assertEqual(401, code, cookie)
            self.assertIn("log in again", said["message"])
            # And who asks then is nobody; the cookie is forgotten.
            code, headers, said = ann.get("/v1/login", Cookie=cookie)
            self.assertEqual((200, "", "NOTHING"), (code, said["identity"], said["by"]))
            self.assertRegex(headers["Set-Cookie"], f"^{name}=; .*Max-Age=0$")
        for cookie in (f"x{name}={value}", f"{name}={'1' * 64}; {name}={value}", f"assent={value}"):
            self.assertEqual(401, ann.get("/v1/server", Cookie=cookie)[0], cookie)
        self.assertEqual(200, ann.get("/v1/server", Cookie=f"a=b; {name}={value};c=d")[0])
        # Beside a token it counts for nothing.
        self.assertEqual(200, ann.get("/v1/server", Cookie=f"{name}=x", Authorization="Bearer " + self.daemon.secrets["ben"])[0])

    def test_what_ends_it(self):
        ann, ben = self.daemon.session("ann"), self.daemon.session("ben")
        code, headers, _ = ann.post("/v1/logout", {})
        self.assertEqual(200, code)
        self.assertIn("Max-Age=0", headers["Set-Cookie"])
        self.assertEqual(401, ann.get("/v1/server")[0])
        self.assertEqual(200, ben.get("/v1/server")[0])
        # Its token is taken away.
        kept = read(self.daemon.tokens)
        with open(self.daemon.tokens, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in kept.splitlines() if not line.startswith("ben"))
        self.daemon.reload()
        try:
            code, _, said = ben.get("/v1/server")
            self.assertEqual(401, code)
            self.assertIn("the session is over: the token is not one", said["message"])
        finally:
            with open(self.daemon.tokens, "w", encoding="utf-8") as file:
                file.write(kept)
            self.daemon.reload()
        self.assertEqual(401, ben.get("/v1/server")[0], "it does not come back with the token")
        # A rule that is gone counts at once; the session does not.
        ben = self.daemon.session("ben")
        self.daemon.allow("token:ann as operator")
        self.daemon.reload()
        self.assertEqual(403, ben.get("/v1/server")[0])
        self.assertEqual("token:ben", ben.who())

    def test_a_restart_ends_all(self):
        daemon = Asked()
        self.addCleanup(daemon.close)
        ann = daemon.session("ann")
        self.assertEqual(200, ann.get("/v1/server")[0])
        daemon.process.kill()
        daemon.process.wait()
        daemon.process.stdout.close()
        daemon.start()
        self.assertEqual(401, ann.get("/v1/server", Cookie=re.sub(r"\d+(?==)", str(daemon.port), ann.cookie))[0])

    def test_so_many_and_the_idlest_goes(self):
        first, kept = self.daemon.session("cas"), self.daemon.session("cas")
        for _ in range(SESSIONS_EACH - 2):
            self.daemon.session("cas")
        self.assertEqual("token:cas", kept.who())
        self.assertEqual("token:cas", first.who())
        self.assertEqual("token:cas", kept.who())
        self.daemon.session("cas")
        self.assertEqual(("token:cas", "token:cas"), (first.who(), kept.who()))
        for _ in range(SESSIONS_EACH):
            self.daemon.session("cas")
        self.assertEqual(("", ""), (first.who(), kept.who()))

    def test_an_initiator_sees_its_own(self):
        cas, ann = self.daemon.session("cas"), self.daemon.session("ann")
        self.assertEqual(200, cas.post("/v1/transactions?wait_for=WAIT_ACCEPTED", order("of-cas", service="gone"))[0])
        self.assertEqual(200, cas.get("/v1/transactions/of-cas")[0])
        self.assertEqual(200, ann.get("/v1/transactions/of-cas")[0])
        self.assertEqual(403, ann.post("/v1/transactions?wait_for=WAIT_ACCEPTED", order("of-ann"))[0])

    def test_secrets_are_not_in_the_log(self):
        ann = self.daemon.session("ann")
        self.daemon.log_in("", "assent_ann_" + "7" * 64)
        log = read(self.daemon.log)
        for secret in (self.daemon.secrets["ann"], ann.cookie.split("=")[1], ann.csrf, "7" * 64):
            self.assertNotIn(secret, log)


class Headers(unittest.TestCase):
    def test_each_answer_has_them(self):
        daemon = Asked()
        self.addCleanup(daemon.close)
        ann = daemon.session("ann")
        for target in ("/", "/console/", "/console/app.js", "/console/nothing", "/v1/server", "/v1/nothing", "/v1/login", "/metrics", "/livez", "/readyz", "/v1/openapi.json"):
            _, headers, _ = ann.get(target)
            self.assertEqual(("nosniff", "no-referrer", "DENY", "same-origin"), tuple(headers.get(name) for name in (
                "X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options", "Cross-Origin-Resource-Policy")), target)
            self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"], target)
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"], target)
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
            is_file = target in ("/console/", "/console/app.js")
            self.assertEqual("no-cache" if is_file else "no-store", headers["Cache-Control"], target)
            self.assertNotIn("Strict-Transport-Security", headers, "it is not TLS")


class WithoutRules(unittest.TestCase):
    def test_nobody_is_asked(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        code, _, said = daemon.ask("GET", "/v1/login")
        self.assertEqual((200, False, "", "NOBODY_IS_ASKED"), (code, said["rules"], said["identity"], said["by"]))
        self.assertEqual(9, len(said["may"]))
        code, _, said = daemon.ask("POST", "/v1/login", {"token": "x"})
        self.assertEqual(400, code)
        self.assertIn("there are no rules", said["message"])


if __name__ == "__main__":
    unittest.main()

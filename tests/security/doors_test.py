#!/usr/bin/python3
"""A daemon with rules: every call of gRPC and every route of HTTP, with every role, a stranger and a thief."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from rig import BIN, PATIENCE_SECONDS, Daemon, Participant  # noqa: E402
from stubs import participant_pb2, transaction_pb2 as tx, types_pb2 as types  # noqa: E402

ROLES = ("initiator", "participant", "viewer", "operator", "admin", "coordinator")
STREAMS = {"SubmitStream", "Connect"}          # both sides of them
SHOWN = {"Watch", "Events", "Backup"}          # answers of them
# Operations of HTTP that are no call's twin: who may have them.
EVERYBODY = {"Alive", "Ready", "OpenApi", "WhoAmI", "Login", "Logout"}
LIKE_A_CALL = {"Metrics": "MaintenanceService/GetMetrics"}
DENIED = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


def table():
    """{"TransactionService/Get": {"viewer", ...}}, as docs/security.md has it."""
    rows = {}
    with open(os.path.join(HERE, "../../docs/security.md"), encoding="utf-8") as page:
        for line in page:
            if row := re.match(r"\| `(\w+/\w+)` \| (.*) \|$", line):
                rows[row[1]] = set(re.sub(r" \(own\)", "", row[2]).split(", "))
    assert len(rows) > 25
    return rows


def assentctl(*arguments, code=0):
    done = subprocess.run([os.path.join(BIN, "assentctl"), *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == code, (arguments, done)
    return done.stdout


class Doors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="assent-security-")
        cls.rules = os.path.join(cls.folder.name, "rules")
        tokens = os.path.join(cls.folder.name, "tokens")
        cls.tokens = {name: assentctl("auth", "token", name, "--append", tokens).strip() for name in (*ROLES, "rival", "nobody", "auditor")}
        cls.tokens["late"] = assentctl("auth", "token", "late", "--until", "2020-01-01", "--append", tokens).strip()
        cls.write("allow token:initiator as initiator for bank (pay) with gids order-", "allow token:rival as initiator for *",
                  "allow token:participant as participant for stock", "allow token:viewer as viewer", "allow token:operator as operator",
                  "allow token:admin as admin", "allow token:coordinator as coordinator", "allow token:auditor as viewer with payloads",
                  "allow token:late as admin")
        cls.participant = Participant()
        cls.daemon = Daemon("--unary", f"bank={cls.participant.endpoint}", "--auth-rules", cls.rules, "--auth-tokens", tokens,
                            "--max-auth-failures-per-address", "0")
        cls.channel = grpc.insecure_channel(cls.daemon.endpoint)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.daemon.close()
        cls.participant.close()
        cls.folder.cleanup()

    @classmethod
    def write(cls, *lines):
        with open(cls.rules, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    # ---- Asking -----------------------------------------------------------------------------------------

    def bearer(self, who):
        return (("authorization", "Bearer " + self.tokens.get(who, who)),) if who else ()

    def call(self, method, who, request=b"", more=()):
        """(code, words, the answer's bytes)."""
        name = method.split("/")[1]
        metadata = self.bearer(who) + tuple(more)
        path = "/assent.v1." + method
        try:
            if name in STREAMS:
                answers = self.channel.stream_stream(path)(iter([request]), metadata=metadata, timeout=PATIENCE_SECONDS)
                answer = next(answers, b"")
                answers.cancel()
            elif name in SHOWN:
                answers = self.channel.unary_stream(path)(request, metadata=metadata, timeout=PATIENCE_SECONDS)
                # A stream that goes on says first that it stands.
                answer = next(answers, b"") if name == "Backup" else self.first(answers)
                answers.cancel()
            else:
                answer = self.channel.unary_unary(path)(request, metadata=metadata, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as failed:
            return failed.code(), failed.details(), b""
        return grpc.StatusCode.OK, "", answer

    @staticmethod
    def first(answers):
        answers.initial_metadata()
        return next(answers, b"") if not answers.is_active() else b""

    def submit(self, gid, who, service="bank", action="pay"):
        spec = types.TransactionSpec(gid=gid, branches=[types.BranchSpec(branch_id="1", service=service, action=action, protocol=types.TCC,
                                                                         payload=b"secret-bytes")])
        request = tx.SubmitRequest(transaction=spec, wait_for=types.WAIT_COMPLETED)
        return self.call("TransactionService/Submit", who, request.SerializeToString())

    def get(self, gid, who, **more):
        return self.call("TransactionService/Get", who, tx.GetRequest(gid=gid, **more).SerializeToString())

    # ---- The matrix --------------------------------------------------------------------------------------

    def test_every_call_with_every_role(self):
        named = tx.BeginRequest(transaction=types.TransactionSpec(gid="order-of-a-call")).SerializeToString()
        for method, roles in table().items():
            request = named if method == "TransactionService/Begin" else b""  # the initiator's rule has a prefix
            for role in ROLES:
                code, words, _ = self.call(method, role, request)
                if role in roles:
                    self.assertNotIn(code, DENIED, (method, role, words))
                else:
                    self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, code, (method, role, words))
                    self.assertIn(f"token:{role} may not ", words)
                    self.assertIn(role, words.split("it has ")[1])
            for stranger in ("", "assent_admin_" + "0" * 64, "late"):
                code, words, _ = self.call(method, stranger)
                self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, code, (method, stranger, words))
            code, words, _ = self.call(method, "nobody")
            self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, code, (method, words))
            self.assertIn("it has no role", words)

    def test_every_route_with_every_role(self):
        rows, others = table(), set()
        code, _, document = self.daemon.ask("GET", "/v1/openapi.json")
        self.assertEqual(200, code, "it is everybody's")
        for path, operations in document["paths"].items():
            for verb, operation in operations.items():
                name = operation["operationId"]
                called = LIKE_A_CALL.get(name) or next((row for row in (f"TransactionService/{name}", f"BatchService/{name}") if row in rows), None)
                if called is None:  # and no other is left out
                    others.add(name)
                    continue
                target = path.replace("{gid}", "none").replace("{branch_id}", "1")
                body = None if "requestBody" not in operation else {"gid": "order-of-a-route"} if name == "Begin" else {}
                for role in ROLES:
                    got = self.code(verb, target, body, role)
                    self.assertEqual(role in rows[called], got not in (401, 403), (verb, path, role, got))
                for stranger in ("", "assent_admin_" + "0" * 64, "late"):
                    self.assertEqual(401, self.code(verb, target, body, stranger), (verb, path, stranger))
                self.assertEqual(403, self.code(verb, target, body, "nobody"), (verb, path))
        self.assertEqual(EVERYBODY, others, "an operation that no line of the table is for")

    def test_what_is_everybodys_with_every_role(self):
        """Who one is, in and out of the console, and whether we live: nothing of anybody's, and a token that is none gets no session."""
        for who in (*ROLES, "nobody", ""):
            for target in ("/livez", "/readyz", "/v1/openapi.json", "/console/", "/v1/login"):
                self.assertEqual(200, self.code("GET", target, None, who), (target, who))
            self.assertEqual(200, self.code("POST", "/v1/logout", None, who), who)
            code = self.code("POST", "/v1/login", {"token": self.tokens[who] if who else "assent_admin_" + "0" * 64}, "")
            self.assertEqual({"": 401, "nobody": 403}.get(who, 200), code, who)
        for target in ("/livez", "/readyz", "/v1/openapi.json", "/console/"):
            self.assertEqual(200, self.code("GET", target, None, "assent_admin_" + "0" * 64), target)
        self.assertEqual(401, self.code("GET", "/v1/login", None, "assent_admin_" + "0" * 64))
        # A login tells of him who logs in, and of nobody else.
        code, _, said = self.daemon.ask("GET", "/v1/login", headers=dict(Authorization="Bearer " + self.tokens["viewer"]))
        self.assertEqual((200, "token:viewer"), (code, said["identity"]))
        code, _, said = self.daemon.ask("GET", "/v1/login")
        self.assertEqual((200, "", []), (code, said.get("identity", ""), said.get("may", [])))

    def code(self, verb, target, body, who):
        """A stream's head comes at once, and is all that is looked at."""
        connection = self.daemon.connect()
        try:
            headers = {"Authorization": "Bearer " + self.tokens.get(who, who)} if who else {}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(verb.upper(), target, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            if response.status == 401:
                self.assertEqual('Bearer realm="assent"', response.getheader("WWW-Authenticate"))
            return response.status
        finally:
            connection.close()

    def test_figures_are_for_those_who_look_and_health_is_everybodys(self):
        self.assertEqual(401, self.code("GET", "/metrics", None, ""))
        self.assertEqual(403, self.code("GET", "/metrics", None, "participant"))
        self.assertEqual(200, self.code("GET", "/metrics", None, "viewer"))
        for target in ("/livez", "/readyz", "/console/"):
            self.assertEqual(200, self.code("GET", target, None, ""), target)
        health = self.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=PATIENCE_SECONDS)
        self.assertEqual(b"\x08\x01", health)
        with self.assertRaises(grpc.RpcError) as none:
            next(self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(iter([b"\x3a\x00"]),
                                                                                                            timeout=PATIENCE_SECONDS))
        self.assertEqual(grpc.StatusCode.UNIMPLEMENTED, none.exception.code())

    # ---- What is whose -----------------------------------------------------------------------------------

    def test_an_initiator_begins_what_its_rule_has(self):
        self.assertEqual(grpc.StatusCode.OK, self.submit("order-1", "initiator")[0])
        for gid, service, action in (("other-1", "bank", "pay"), ("order-2", "bank", "steal"), ("order-2", "stock", "pay")):
            code, words, _ = self.submit(gid, "initiator", service, action)
            self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, code)
            self.assertIn(f"token:initiator may not begin {service}/{action} in a transaction named {gid}", words)
            self.assertEqual(grpc.StatusCode.NOT_FOUND, self.get(gid, "viewer")[0], "nothing was begun")
        code, words, _ = self.call("TransactionService/ExecuteBranch", "initiator", tx.ExecuteBranchRequest(
            gid="order-1", branch=types.BranchSpec(branch_id="2", service="stock", action="reserve", protocol=types.TCC)).SerializeToString())
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, code, words)

    def test_a_name_is_taken_by_whose_it_is_before_there_are_branches(self):
        begin = {gid: tx.BeginRequest(transaction=types.TransactionSpec(gid=gid)).SerializeToString() for gid in ("order-bare", "other-bare")}
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Begin", "initiator", begin["order-bare"])[0])
        code, words, _ = self.call("TransactionService/Begin", "initiator", begin["other-bare"])
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, code)
        self.assertIn("token:initiator may not begin a transaction named other-bare", words)
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Begin", "rival", begin["other-bare"])[0])
        for gid, who in (("order-bare", "initiator"), ("other-bare", "rival")):
            self.call("TransactionService/Rollback", who, tx.RollbackRequest(gid=gid).SerializeToString())

    def test_what_others_began_is_not_there(self):
        self.assertEqual(grpc.StatusCode.OK, self.submit("order-mine", "initiator")[0])
        begin = tx.BeginRequest(transaction=types.TransactionSpec(gid="order-open")).SerializeToString()
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Begin", "initiator", begin)[0])
        _, unknown, _ = self.get("order-none", "rival")
        for gid in ("order-mine", "order-open"):  # ended, and not
            for name, request in (("Get", tx.GetRequest(gid=gid)), ("Wait", tx.WaitRequest(gid=gid)), ("Watch", tx.WatchRequest(gid=gid)),
                                  ("Commit", tx.CommitRequest(gid=gid)), ("Rollback", tx.RollbackRequest(gid=gid)),
                                  ("ExecuteBranch", tx.ExecuteBranchRequest(gid=gid, branch=types.BranchSpec(
                                      branch_id="9", service="bank", action="pay", protocol=types.TCC)))):
                code, words, _ = self.call("TransactionService/" + name, "rival", request.SerializeToString())
                self.assertEqual((grpc.StatusCode.NOT_FOUND, unknown.replace("order-none", gid)), (code, words), (gid, name))
            code, words, _ = self.submit(gid, "rival")
            self.assertEqual(grpc.StatusCode.ALREADY_EXISTS, code, "also with the same content: a gid of somebody else's is taken")
        shown = types.Transaction.FromString(self.get("order-open", "initiator")[2])
        self.assertEqual((types.ACTIVE, 0, "token:initiator"), (shown.state, len(shown.branches), shown.initiator))
        # The one that asks again is the one that began it.
        self.assertEqual(grpc.StatusCode.OK, self.submit("order-mine", "initiator")[0])
        rollback = tx.RollbackRequest(gid="order-open").SerializeToString()
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Rollback", "initiator", rollback)[0])

    def list_all(self, who, **filters):
        gids, token = set(), ""
        while True:
            request = tx.ListRequest(page_token=token, page_size=2, gid_prefix="order-list-", **filters)
            code, words, answer = self.call("TransactionService/List", who, request.SerializeToString())
            self.assertEqual(grpc.StatusCode.OK, code, words)
            reply = tx.ListReply.FromString(answer)
            gids |= {one.gid for one in reply.transactions}
            token = reply.next_page_token
            if not token:
                return gids

    def test_an_initiator_lists_what_it_began(self):
        for i in range(4):
            self.assertEqual(grpc.StatusCode.OK, self.submit(f"order-list-mine-{i}", "initiator")[0])
            self.assertEqual(grpc.StatusCode.OK, self.submit(f"order-list-other-{i}", "rival")[0])
        for gid, who in (("order-list-mine", "initiator"), ("order-list-other", "rival")):
            begin = tx.BeginRequest(transaction=types.TransactionSpec(gid=gid)).SerializeToString()
            self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Begin", who, begin)[0])
        mine = {"order-list-mine", *(f"order-list-mine-{i}" for i in range(4))}
        theirs = {"order-list-other", *(f"order-list-other-{i}" for i in range(4))}
        self.assertEqual({"order-list-mine"}, self.list_all("initiator"))
        self.assertEqual(mine, self.list_all("initiator", all=True))
        self.assertEqual(mine - {"order-list-mine"}, self.list_all("initiator", states=[types.FINISHED]))
        self.assertEqual(theirs, self.list_all("rival", all=True))
        self.assertEqual(mine | theirs, self.list_all("viewer", all=True))
        # A slice, which only coordinators ask for, says how many rows were looked at, of others as well.
        answer = self.call("TransactionService/List", "initiator", tx.ListRequest(slice=tx.MemberSliceRequest(part=2)).SerializeToString())[2]
        self.assertFalse(tx.ListReply.FromString(answer).HasField("slice"))
        # The console asks in the same way.
        code, _, page = self.daemon.ask("GET", "/v1/transactions?all=true&gid_prefix=order-list-",
                                        headers={"Authorization": "Bearer " + self.tokens["initiator"]})
        self.assertEqual((200, mine), (code, {one["gid"] for one in page["transactions"]}))
        for gid, who in (("order-list-mine", "initiator"), ("order-list-other", "rival")):
            rollback = tx.RollbackRequest(gid=gid).SerializeToString()
            self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Rollback", who, rollback)[0])

    def test_whose_it_is_outlives_a_kill(self):
        begin = tx.BeginRequest(transaction=types.TransactionSpec(gid="order-kept", deadline_ms=3_600_000)).SerializeToString()
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Begin", "initiator", begin)[0])
        daemon = Daemon(*self.daemon.arguments)
        channel, Doors.channel = self.channel, grpc.insecure_channel(daemon.endpoint)
        try:
            self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Begin", "initiator", begin)[0])
            daemon.process.kill()
            daemon.process.wait()
            daemon.start()
            Doors.channel.close()
            Doors.channel = grpc.insecure_channel(daemon.endpoint)
            self.assertEqual(grpc.StatusCode.NOT_FOUND, self.get("order-kept", "rival")[0])
            self.assertEqual(grpc.StatusCode.OK, self.get("order-kept", "initiator")[0])
        finally:
            Doors.channel.close()
            Doors.channel = channel
            daemon.close()

    def test_payloads_are_for_those_whose_rule_says_so(self):
        self.assertEqual(grpc.StatusCode.OK, self.submit("order-secret", "initiator")[0])
        for who, sees in (("viewer", False), ("operator", False), ("admin", False), ("auditor", True), ("initiator", True)):
            code, words, answer = self.get("order-secret", who, payloads=True, results=True)
            self.assertEqual(sees, code == grpc.StatusCode.OK, (who, words))
            self.assertEqual(sees, b"secret-bytes" in answer, who)
            self.assertEqual(grpc.StatusCode.OK, self.get("order-secret", who)[0], who)
            watch = tx.WatchRequest(gid="order-secret", payloads=True).SerializeToString()
            self.assertEqual(sees, self.call("TransactionService/Watch", who, watch)[0] == grpc.StatusCode.OK, who)
            code, words, answer = self.call("TransactionService/Wait", who, tx.WaitRequest(
                gid="order-secret", wait_for=types.WAIT_COMPLETED).SerializeToString())
            self.assertEqual(grpc.StatusCode.OK, code, (who, words))
            waited = tx.SubmitReply.FromString(answer)
            self.assertEqual((types.COMMITTED, {"1": b"kept"} if sees else {}), (waited.outcome, dict(waited.results)), who)
        code, _, _ = self.daemon.ask("GET", "/v1/transactions/order-secret?payloads=true",
                                     headers={"Authorization": "Bearer " + self.tokens["viewer"]})
        self.assertEqual(403, code)

    def test_a_participant_serves_its_own_service(self):
        for service, allowed in (("stock", True), ("bank", False), ("stocks", False)):
            hello = participant_pb2.ParticipantFrame(hello=participant_pb2.Hello(
                version=1, service=service, instance="a", max_in_flight=1,
                actions=[participant_pb2.ActionInfo(name="reserve", protocol=types.TCC)]))
            code, words, answer = self.call("ParticipantSession/Connect", "participant", hello.SerializeToString())
            self.assertEqual(allowed, code == grpc.StatusCode.OK and b"" != answer, (service, code, words))
            if not allowed:
                self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, code, words)
                self.assertIn(f"token:participant may not be a participant of {service}", words)

    def test_only_a_coordinator_hands_on(self):
        """Whoever could say that he asks for somebody else would be that one."""
        forwarded = (("assent-forwarded", "1"), ("assent-on-behalf-of", "token:admin"))
        info = tx.ListAuditRequest().SerializeToString()
        for who in ("viewer", "admin", "initiator"):
            code, words, _ = self.call("TransactionService/ListAudit", who, info, forwarded)
            self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, code)
            self.assertIn("may not be a coordinator", words)
        self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, self.call("TransactionService/ListAudit", "", info, forwarded)[0])
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/ListAudit", "coordinator", info, forwarded)[0])
        # He vouches for who it is, and that one may what he may.
        stranger = (("assent-forwarded", "1"), ("assent-on-behalf-of", "token:viewer"))
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, self.call("TransactionService/ListAudit", "coordinator", info, stranger)[0])

    # ---- On record, and changed ----------------------------------------------------------------------------

    def test_who_is_on_record_is_who_is_proven(self):
        begin = tx.BeginRequest(transaction=types.TransactionSpec(gid="order-act", deadline_ms=3_600_000)).SerializeToString()
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Begin", "initiator", begin)[0])
        suspend = tx.SuspendRequest(action=tx.OperatorAction(gid="order-act", who="the chairman", reason="why not"))
        self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/Suspend", "operator", suspend.SerializeToString())[0])
        shown = types.Transaction.FromString(self.get("order-act", "viewer")[2])
        self.assertEqual(["token:operator (as the chairman)"], [one.who for one in shown.interventions])
        audit = tx.ListAuditReply.FromString(self.call("TransactionService/ListAudit", "admin", tx.ListAuditRequest(
            gid="order-act", who="token:operator").SerializeToString())[2])
        self.assertEqual([("token:operator", "the chairman")], [(one.who, one.claims) for one in audit.entries])
        code, _, _ = self.daemon.ask("POST", "/v1/transactions/order-act:resume", {"action": {"reason": "enough"}},
                                     {"Authorization": "Bearer " + self.tokens["operator"]})
        self.assertEqual(200, code, "who is known need not say who he is")
        self.assertEqual("token:operator", types.Transaction.FromString(self.get("order-act", "viewer")[2]).interventions[1].who)

    def test_no_secret_is_in_the_log(self):
        self.call("TransactionService/List", "viewer")
        self.call("TransactionService/List", "assent_viewer_" + "f" * 64)
        with open(self.daemon.log, encoding="utf-8") as log:
            text = log.read()
        for name, token in self.tokens.items():
            self.assertNotIn(token[-32:], text, name)
        self.assertNotIn("f" * 32, text)

    def test_rules_are_read_again(self):
        with open(self.rules, encoding="utf-8") as file:
            before = file.read()
        try:
            self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, self.call("TransactionService/List", "nobody")[0])
            self.write(before, "allow token:nobody as viewer")
            self.reload("event=auth_reloaded")
            self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/List", "nobody")[0])
            self.write(before, "allow token:nobody as king")
            self.reload("event=auth_reload_failed")
            self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/List", "nobody")[0], "what was in force stays")
            with open(self.daemon.log, encoding="utf-8") as log:
                said = log.read()
            self.assertRegex(said, r'event=auth_reload_failed error="auth-rules is \S+: line 11: .*king.* is no role')
            self.reload('event=reloaded_in_part changed="" not_read="rules or tokens"')
            # Nobody ever writes into it: whoever waited for that took no reload any more, and no SIGTERM.
            os.remove(self.rules)
            os.mkfifo(self.rules)
            self.reload("it is no file")
            self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/List", "nobody")[0])
        finally:
            if os.path.exists(self.rules) and not os.path.isfile(self.rules):
                os.remove(self.rules)
            self.write(before)
            self.reload("event=auth_reloaded")

    def test_a_file_that_was_emptied_locks_nobody_out(self):
        """As an editor, or a full disk, leaves it for a moment: who may nothing cannot mend it from outside either."""
        with open(self.rules, encoding="utf-8") as file:
            before = file.read()
        try:
            for lines in ([], ["# to be written", "limit anyone to 9 calls"]):
                self.write(*lines)
                self.reload('no line of it allows anybody anything')
                self.assertEqual(grpc.StatusCode.OK, self.call("TransactionService/List", "viewer")[0])
                self.assertEqual(200, self.daemon.ask("GET", "/v1/transactions", headers={"Authorization": "Bearer " + self.tokens["viewer"]})[0])
        finally:
            with open(self.rules, "w", encoding="utf-8") as file:
                file.write(before)
            self.reload("event=auth_reloaded")

    def reload(self, event):
        with open(self.daemon.log, encoding="utf-8") as log:
            log.seek(0, os.SEEK_END)
            self.daemon.process.send_signal(signal.SIGHUP)
            text = ""
            while event not in text:
                self.assertIsNone(self.daemon.process.poll())
                text += log.readline()

    def test_what_is_wrong_keeps_it_from_starting(self):
        for lines, flags, words in ((["allow cn:a as king"], [], "line 1: \"king\" is no role"), ([], ["--auth-rules", "/nowhere"], "cannot be read"),
                                    ([], ["--auth-rules", "/tmp"], "auth-rules is /tmp: it cannot be read"),
                                    ([], ["--auth-tokens", "/dev/null"], "auth-tokens without auth-rules"),
                                    ([], ["--auth-rules", "/dev/null", "--log", "postgresql://host/database", "--advertise", "host:1"],
                                     "without tls-cert")):
            with tempfile.TemporaryDirectory() as folder:
                rules = os.path.join(folder, "rules")
                with open(rules, "w", encoding="utf-8") as file:
                    file.write("\n".join(lines))
                arguments = [os.path.join(BIN, "assentd"), "--data", folder + "/data", *(flags or ["--auth-rules", rules])]
                for more in ([], ["--check-config"]):
                    done = subprocess.run(arguments + more, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
                    self.assertNotEqual(0, done.returncode)
                    self.assertIn(words, (done.stdout + done.stderr).replace('\\"', '"'))

    def test_a_file_of_tokens_keeps_its_mode_and_what_cannot_be_read_is_not_written_over(self):
        """It became its last writer's alone, which assentd may not be; and one that could not be read was taken for none."""
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "tokens")
            assentctl("auth", "token", "first", "--append", file)
            self.assertEqual(0o600, os.stat(file).st_mode & 0o777)
            os.chmod(file, 0o640)
            assentctl("auth", "token", "second", "--append", file)
            self.assertEqual(0o640, os.stat(file).st_mode & 0o777)
            with open(file, encoding="utf-8") as lines:
                self.assertEqual(["first", "second"], [line.split()[0] for line in lines])
            os.mkdir(os.path.join(folder, "other"))
            assentctl("auth", "token", "third", "--append", os.path.join(folder, "other"), code=2)
            self.assertEqual(["other", "tokens"], sorted(os.listdir(folder)), "nothing is left")

    def test_rules_can_be_asked(self):
        def explained(*arguments, code=0):
            return assentctl("auth", "explain", "--rules", self.rules, *arguments, code=code)
        self.assertEqual("yes\n  line 5: allow token:operator as operator\n", explained("token:operator", "retry"))
        self.assertEqual("no: it has operator, and may not administer the coordinator\n", explained("token:operator", "forget", code=6))
        self.assertIn("yes: of what it has begun itself", explained("token:initiator", "show"))
        begin = ("token:initiator", "begin", "--service", "bank", "--action", "pay", "--gid")
        self.assertTrue(explained(*begin, "order-1").startswith("yes\n"))
        self.assertIn("no: no rule of an initiator has", explained(*begin, "x-1", code=6))
        self.assertEqual({"may": False, "roles": "no role"}, {k: v for k, v in json.loads(explained("anyone", "list", "-o", "json", code=6)).items()
                                                              if k in ("may", "roles")})
        explained("token:operator", "dance", code=2)
        explained("the operator", "list", code=2)


if __name__ == "__main__":
    unittest.main()

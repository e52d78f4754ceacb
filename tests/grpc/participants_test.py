#!/usr/bin/python3
"""Participants that lie, differ, are silent or careless, against a daemon: each test failed on one that had the fault that it names."""

import os
import re
import threading
import unittest

import grpc

from hostile import REPLY, Hostile
from wire import DONE, BytesSession, Session, branch, connect, part, spec, tx, types


class Participants(Hostile):
    def test_no_words_of_a_participant_mean_that_it_was_not_reached(self):
        """An executed step that passed on its own downstream's UNAVAILABLE was SKIPPED, and the initiator told ABORTED."""
        words = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: " \
                "Connection refused"
        for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN,
                     grpc.StatusCode.UNAUTHENTICATED):
            executed = []

            def execute_and_lie(command, context):
                executed.append(command.attempt)
                context.set_trailing_metadata((("grpc-previous-rpc-attempts", "0"),))
                context.abort(code, words)

            gid = f"lie-{code.name}"
            self.unary.script[gid, "ACTION"] = execute_and_lie
            lie = self.submit(spec(gid, branch("dialled", protocol=types.SAGA, retry=types.RetryPolicy(max_attempts=2))))
            self.assertEqual(types.ABORTED, lie.outcome)
            self.assertEqual(2, len(executed), "it is asked again")
            self.assertEqual(["ACTION", "ACTION", "COMPENSATE"], self.unary.seen[gid], "and then compensated")
            shown = self.show(gid)
            self.assertEqual(types.UNDONE, shown.branches[0].state)
            self.assertNotIn("cannot connect", str(shown))
            self.assertIn(f"{code.name}: ", str(shown))

    def test_calls_go_to_the_instance_that_is_there(self):
        """Of two dialled instances calls went in turn also to the one known to be down."""
        self.until(lambda: [i.connected_unix_ms for p in self.participants("half") for i in p.instances].count(0) == 1)
        for i in range(20):
            self.assertEqual(types.COMMITTED, self.submit(spec(f"half-{i}", branch("half"))).outcome)
            self.assertEqual([1, 1], [a.number for a in self.show(f"half-{i}").branches[0].attempts], "no second attempt")

    def participants(self, prefix):
        return self.api.ListParticipants(tx.ListParticipantsRequest(service_prefix=prefix), timeout=20).participants

    def test_new_instances_may_offer_more(self):
        """A roll-out that waited for its first new instance never ended: it was refused while an old one was there."""
        old = self.session("rolling")
        early = self.submit(spec("early", branch("rolling", action="more")))
        self.assertIn("has no action tcc:more; it offers tcc:act", early.abort_reason)
        new = self.session("rolling", actions=[("act", types.TCC), ("more", types.TCC)])
        for i in range(4):
            self.assertEqual(types.COMMITTED, self.submit(spec(f"more-{i}", branch("rolling", action="more"))).outcome)
            self.assertEqual(types.COMMITTED, self.submit(spec(f"act-{i}", branch("rolling"))).outcome)
        self.assertEqual({"act"}, {c.action for c in old.commands})
        self.assertEqual({"act", "more"}, {c.action for c in new.commands})

    def test_a_hello_for_what_is_dialled_is_refused_with_a_sentence(self):
        session = Session(self.daemon.endpoint, "dialled")
        self.addCleanup(session.close)
        self.assertTrue(session.ended.wait(20))
        self.assertEqual(grpc.StatusCode.FAILED_PRECONDITION, session.error.code())
        self.assertIn("service dialled is dialled: this coordinator's configuration has", session.error.details())

    def raw(self, *frames):
        """A session of bytes; the stream."""
        return self.channel.stream_stream("/assent.v1.ParticipantSession/Connect")(iter(frames))

    def test_a_first_frame_that_is_none_is_named(self):
        hello = part.ParticipantFrame(hello=part.Hello(version=1, service="latin", agent="caf?")).SerializeToString()
        for frame, said in ((b"\xff\xff", "the frame is not a valid assent.v1.ParticipantFrame message"),
                            (hello.replace(b"caf?", b"caf\xe9"), "hello.agent is not UTF-8")):
            with self.assertRaises(grpc.RpcError) as caught:
                list(self.raw(frame))
            self.assertEqual(grpc.StatusCode.INVALID_ARGUMENT, caught.exception.code())
            self.assertIn(said, caught.exception.details())

    def test_a_bad_reply_costs_only_itself(self):
        """One reason that was not UTF-8, or a result over 4 MiB, lost the session with every command on it."""
        latin = b"caf\xe9"

        def answer(command):
            if command.operation != types.TRY or command.gid == "fine":
                return DONE
            if command.gid == "large" and command.attempt == 1:
                return REPLY(kind=DONE, result=b"x" * (5 << 20))
            return REPLY(kind=REPLY.REFUSED, reason="caf?") if command.gid == "refused" else DONE

        session = BytesSession(self.daemon.endpoint, "careless", answer, mangle=lambda b: b.replace(b"caf?", latin))
        self.addCleanup(session.close)
        self.assertTrue(session.welcome.wait(20))
        refused = self.submit(spec("refused", branch("careless")))
        self.assertEqual(types.ABORTED, refused.outcome)
        self.assertIn("the reason is not UTF-8: caf?", self.show("refused").branches[0].last_error)
        large = self.submit(spec("large", branch("careless", retry=types.RetryPolicy(initial_backoff_ms=1, max_backoff_ms=1))))
        self.assertEqual(types.COMMITTED, large.outcome)
        self.assertIn("the result has 5242880 bytes, the limit is 262144", str(self.show("large").branches[0].attempts))
        self.assertEqual(types.COMMITTED, self.submit(spec("fine", branch("careless"))).outcome)
        self.assertIsNone(session.error)
        self.assertFalse(session.ended.is_set())

    def test_streams_without_hello_are_few_and_small(self):
        """Two connections that opened streams and never said Hello took gigabytes in seconds."""
        before = self.rss()
        channels = [connect(self.daemon.endpoint) for _ in range(4)]
        hold = threading.Event()
        half = part.ParticipantFrame(replies=[part.BranchReply(result=b"x" * 60_000)]).SerializeToString()

        def silence():
            hold.wait(30)
            yield half

        calls = [channel.stream_stream("/assent.v1.ParticipantSession/Connect")(silence())
                 for channel in channels for _ in range(500)]
        refused = self.until(lambda: [c for c in calls if c.done()])
        self.until(lambda: len([c for c in calls if c.done()]) >= 2000 - 64)
        self.assertEqual({grpc.StatusCode.RESOURCE_EXHAUSTED}, {c.code() for c in refused})
        self.assertIn("have not said hello yet, which is the limit", refused[0].details())
        self.assertLess(self.rss() - before, 100_000)
        hold.set()
        for channel in channels:
            channel.close()

    def test_who_says_nothing_keeps_nobody_out(self):
        """64 streams on one connection that said nothing kept out every participant of that address, for as long as they liked."""
        hold = threading.Event()
        self.addCleanup(hold.set)

        def silence():
            hold.wait(30)
            yield from ()

        def silent(streams):
            channel = connect(self.daemon.endpoint)
            self.addCleanup(channel.close)
            connect_ = channel.stream_stream("/assent.v1.ParticipantSession/Connect")
            return [connect_(silence()) for _ in range(streams)]

        one = silent(100)
        self.until(lambda: sum(c.done() for c in one) == 100 - 8)
        self.session("beside-one-connection")
        many = [silent(8) for _ in range(9)]
        self.until(lambda: sum(c.done() for c in one + sum(many, [])) == 100 + 9 * 8 - 64)
        self.session("beside-many-connections")

    def test_comings_and_goings_are_in_the_log(self):
        session = self.session("seen", instance="one", agent="test/1")
        session.close()
        self.until(lambda: "event=participant_left service=seen" in self.log())
        came = next(line for line in self.log().splitlines() if "event=participant_came service=seen" in line)
        self.assertRegex(came, r'session=ipv4:127.0.0.1:\d+ instance="one" agent="test/1"')
        self.assertRegex(self.log(), r'event=participant_left service=seen .* why="it hung up, or the connection broke"')

    def test_one_that_never_was_there_has_not_left(self):
        """The first line about it was event=participant_left, at the level of what is well."""
        line = r'warn\w* event=participant_unreachable service=half dialled=\S+ instance="\S+" why="cannot connect to '
        self.until(lambda: re.search(line, self.log()))
        self.assertNotIn("event=participant_left service=half", self.log())

    def test_who_is_waited_for_is_in_the_log(self):
        self.submit(spec("patient", branch("absent")), wait_for=types.WAIT_ACCEPTED)
        self.until(lambda: 'event=waiting service=absent hint="transactions wait until it appears"' in self.log())

    def test_a_clean_stop_is_none_that_broke(self):
        session = self.session("polite")
        session.frames.put(part.ParticipantFrame(goodbye=True))
        session.frames.put(None)
        self.until(lambda: re.search(r'event=participant_left service=polite .* why="it said goodbye"', self.log()))

    def test_who_is_turned_away_is_in_the_log(self):
        """A participant that was refused was nowhere to be seen. A flood of them says how many, not each."""
        def refused(service):
            with self.assertRaises(grpc.RpcError):
                list(self.raw(part.ParticipantFrame(hello=part.Hello(version=1, service=service)).SerializeToString()))

        self.until(lambda: refused("dialled") or re.search(
            r'warn\w* event=session_refused service=dialled address=ipv4:127.0.0.1:\d+ why="service dialled is dialled: ', self.log()))
        forged = 'x" why="fine\nevent=forged ' + "y" * 300
        self.until(lambda: refused(forged) or "event=session_refused service=\"x' why=" in self.log())
        self.assertNotIn("\nevent=forged", self.log())
        self.assertNotIn("y" * 200, re.search(r"service=\"x.*? address=", self.log()).group())
        for _ in range(200):
            refused("dialled")
        self.until(lambda: re.search(r"event=session_refused more=\d+", self.log()))
        self.assertLess(self.log().count("event=session_refused service=dialled"), 150)

    def log(self):
        with open(os.path.join(self.daemon._folder.name, "assentd.log"), encoding="utf-8") as file:
            return file.read()


if __name__ == "__main__":
    unittest.main(verbosity=2)

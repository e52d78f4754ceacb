#!/usr/bin/python3
"""The Python SDK with a real assentd: whole transactions, plain and asyncio; kills of either side; the program of README.md."""

import asyncio
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import support
from support import Daemon, Process, until

import assent
import assent.aio


def books(path):
    """The sums of balance and held, as they are in the file."""
    with sqlite3.connect(path) as db:
        return tuple(int(n or 0) for n in db.execute("SELECT sum(balance), sum(held) FROM account").fetchone())


class DaemonTest(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        folder = tempfile.TemporaryDirectory(prefix="assent-python-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.lines = []

    def client(self, **options):
        client = assent.Client(self.daemon.endpoint, **options)
        self.addCleanup(client.close)
        return client

    def participant(self, service, **options):
        participant = assent.Participant(service, self.daemon.endpoint, log=self.lines.append, **options).start()
        self.addCleanup(participant.stop)
        participant.wait_connected()
        return participant

    def shop(self):
        """A service without a database: what was done, in order."""
        service, done = assent.Service("shop"), []

        def note(call):
            done.append((call.operation.name, call.branch_id))
            return f"{call.branch_id} done"

        reserve = service.tcc("reserve")(note)
        reserve.confirm(note)
        reserve.cancel(note)
        ship = service.saga("ship")(note)
        ship.compensate(note)
        debit = service.two_phase("debit")(note)
        debit.commit(note)
        debit.rollback(note)

        @service.saga("refuse")
        def refuse(call):
            raise assent.Refused("the shop is closed")

        return service, done

    # ---- transactions

    def test_three_protocols_in_one_transaction(self):
        service, done = self.shop()
        self.participant(service)
        order = assent.Transaction(labels={"order": "1"}, deadline=20).tcc("shop", "reserve", b"a").saga("shop", "ship", b"b").two_phase(
            "shop", "debit", b"c")
        report = self.client().submit(order, wait=assent.WaitFor.COMPLETED)
        self.assertTrue(report.committed)
        self.assertEqual(report.results, {"1": b"1 done", "2": b"2 done", "3": b"3 done"})
        self.assertEqual(sorted(done), [("ACTION", "2"), ("COMMIT", "3"), ("CONFIRM", "1"), ("PREPARE", "3"), ("TRY", "1")])
        self.assertEqual(self.client().submit(order), report)  # the same object is the same transaction
        self.assertEqual(len(done), 5)

    def test_a_refusal_undoes_the_rest_and_is_a_report(self):
        service, done = self.shop()
        self.participant(service)
        report = self.client().submit(assent.Transaction().saga("shop", "ship").saga("shop", "refuse"), wait=assent.WaitFor.COMPLETED)
        self.assertTrue(report.aborted)
        self.assertEqual(report.abort_reason, "branch 2 shop/refuse refused: the shop is closed")
        self.assertEqual(done, [("ACTION", "1"), ("COMPENSATE", "1")])

    def test_interactive(self):
        service, done = self.shop()
        self.participant(service)
        client = self.client()
        with client.begin() as order:
            self.assertEqual(order.tcc("shop", "reserve").result, b"1 done")
            self.assertEqual(order.saga("shop", "ship").result, b"2 done")
            self.assertTrue(order.commit(wait=assent.WaitFor.COMPLETED).committed)
        info = client.get(order.gid)
        self.assertEqual((info.state, info.outcome, len(info.branches)), (assent.State.FINISHED, assent.Outcome.COMMITTED, 2))
        del done[:]
        with self.assertRaisesRegex(RuntimeError, "changed my mind"), client.begin() as order:
            order.tcc("shop", "reserve")
            raise RuntimeError("I have changed my mind")
        self.assertTrue(client.wait(order.gid, wait=assent.WaitFor.COMPLETED).aborted)
        self.assertEqual([operation for operation, _ in done], ["TRY", "CANCEL"])
        self.assertIn("changed my mind", client.get(order.gid).abort_reason)
        with client.begin() as order:
            self.assertTrue(order.saga("shop", "refuse").refused)
            with self.assertRaises(assent.FailedPrecondition):
                order.commit()

    def test_asyncio_with_coroutines(self):
        service, running, most = assent.Service("shop"), [0], [0]

        @service.tcc("reserve")
        async def reserve(call):
            running[0] += 1
            most[0] = max(most[0], running[0])
            end = time.monotonic() + 20
            while most[0] < 20 and time.monotonic() < end:
                await asyncio.sleep(0.005)
            running[0] -= 1
            return call.payload

        @reserve.confirm
        async def confirm(call):
            pass

        @reserve.cancel
        def cancel(call):
            pass

        async def go():
            async with assent.aio.Participant(service, self.daemon.endpoint) as participant, assent.aio.Client(self.daemon.endpoint) as client:
                await participant.wait_connected()
                reports = await asyncio.gather(*(client.submit(assent.Transaction().tcc("shop", "reserve", str(n))) for n in range(20)))
                self.assertEqual([report.results["1"] for report in reports], [str(n).encode() for n in range(20)])
                async with await client.begin() as order:
                    self.assertEqual((await order.tcc("shop", "reserve", "x")).result, b"x")
                    self.assertTrue((await order.commit()).committed)
                self.assertTrue((await client.wait(order.gid)).committed)
                self.assertEqual((await client.get(order.gid)).outcome, assent.Outcome.COMMITTED)
                with self.assertRaises(assent.NotFound):
                    await client.get("nobody")

        asyncio.run(go())
        self.assertGreaterEqual(most[0], 20)  # all at once

    def test_trace_and_headers_are_handed_on(self):
        service, seen = assent.Service("shop"), []
        service.saga("look")(seen.append)
        self.participant(service)
        trace = ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
        self.client().submit(assent.Transaction(trace=trace).saga("shop", "look", b"p", headers={"who": "ann"}))
        (call,) = seen
        self.assertEqual((call.payload, dict(call.headers), call.service, call.tracestate), (b"p", {"who": "ann"}, "shop", "a=b"))
        self.assertEqual(call.traceparent.split("-")[1], trace[0].split("-")[1])
        self.assertEqual(call.trace, (call.traceparent, call.tracestate))

    # ---- what goes wrong

    def test_nobody_there_is_not_unknown(self):
        endpoint = f"127.0.0.1:{support.free_port()}"
        with assent.Client(endpoint, retry=assent.Retry(give_up_after=0.3)) as client:
            with self.assertRaisesRegex(assent.Unavailable, "is assentd running there"):
                client.submit(assent.Transaction().saga("shop", "ship"))
        participant = assent.Participant(self.shop()[0], endpoint).start()
        self.addCleanup(participant.stop)
        with self.assertRaisesRegex(assent.DeadlineExceeded, endpoint):
            participant.wait_connected(0.3)

    def test_a_lost_answer_is_unknown_and_asking_again_settles_it(self):
        begun, go_on = threading.Event(), threading.Event()
        service = assent.Service("shop")

        @service.saga("slow")
        def slow(call):
            begun.set()
            go_on.wait(20)

        self.participant(service)
        order = assent.Transaction(deadline=60).saga("shop", "slow")
        client = self.client(retry=assent.Retry(give_up_after=0.2))
        failures = []

        def submit():
            try:
                client.submit(order)
            except assent.Error as error:
                failures.append(error)

        thread = threading.Thread(target=submit)
        thread.start()
        self.assertTrue(begun.wait(20))
        self.daemon.kill()
        thread.join()
        self.assertIsInstance(failures[0], assent.UnknownOutcome)
        self.assertEqual(failures[0].gid, order.gid)
        go_on.set()
        self.daemon.start()
        self.assertTrue(self.client().submit(order).committed)

    def test_comes_back_after_the_coordinators_restart(self):
        """A session that never came back was one of the mistakes of those who wrote it by hand."""
        service, _ = self.shop()
        participant = self.participant(service)
        client = self.client()
        for _ in range(2):
            self.daemon.kill()
            until(lambda: participant.connected == 0)
            self.daemon.start()
            self.assertTrue(client.submit(assent.Transaction(deadline=20).tcc("shop", "reserve")).committed)
        self.assertGreaterEqual(participant.counters.connections, 3)
        self.assertTrue(any(line.startswith("disconnected") for line in self.lines), self.lines)

    def test_goodbye_answers_what_it_has(self):
        begun, go_on = threading.Event(), threading.Event()
        service = assent.Service("shop")

        @service.saga("slow")
        def slow(call):
            begun.set()
            go_on.wait(20)
            return "heard"

        participant = self.participant(service)
        reports = []
        thread = threading.Thread(target=lambda: reports.append(self.client().submit(assent.Transaction(deadline=20).saga("shop", "slow"))))
        thread.start()
        self.assertTrue(begun.wait(20))
        stopping = threading.Thread(target=participant.stop)
        stopping.start()
        until(lambda: participant.connected == 0)
        go_on.set()
        stopping.join()
        thread.join()
        self.assertEqual(reports[0].results, {"1": b"heard"})

    def test_questions_about_what_is_held_are_answered(self):
        class Holder(assent.Resource):
            def __init__(self):
                self.answers = []

            def actions(self):
                return [(assent.Protocol.TWO_PHASE, "hold")]

            def execute(self, job):
                job.answer(assent.Reply(assent.Kind.DONE))

            def questions(self, limit):
                return [assent.barrier.Held("never-heard-of", "1", 1, 1), *self.more]

            def answer(self, held, verdict, finished):
                self.answers.append((held.gid, verdict, finished))

        holder = Holder()
        holder.more = []
        participant = self.participant(assent.Service("shop", holder), question_interval=0.1)
        report = self.client().submit(assent.Transaction("known").two_phase("shop", "hold"), wait=assent.WaitFor.COMPLETED)
        self.assertTrue(report.committed)
        (session,) = participant._sessions()
        coordinator, epoch = session.coordinator_id, session.epoch
        holder.more = [assent.barrier.Held("known", "1", coordinator, epoch), assent.barrier.Held("no-such", "1", coordinator, epoch)]
        until(lambda: ("known", assent.Verdict.COMMIT, True) in holder.answers and ("no-such", assent.Verdict.ABORT, True) in holder.answers,
              lambda: holder.answers)
        until(lambda: any(gid == "never-heard-of" and verdict == assent.Verdict.CANNOT_TELL for gid, verdict, _ in holder.answers))

    # ---- kills

    def transfer(self, client, n, results):
        """From one account to another, of two services; as often as it takes."""
        order = assent.Transaction(f"transfer-{n}", deadline=40)
        order.tcc("west", "add", json.dumps({"account": "w", "amount": -1})).saga("east", "add", json.dumps({"account": "e", "amount": 1}))
        end = time.monotonic() + 90
        while time.monotonic() < end:
            try:
                results[n] = client.submit(order, wait=assent.WaitFor.COMPLETED).outcome
                return
            except (assent.UnknownOutcome, assent.Unavailable):
                continue

    def test_books_balance_through_kills_of_both_sides(self):
        folders = {}
        processes = []
        for name in ("west", "east"):
            folders[name] = os.path.join(self.folder, name)
            os.mkdir(folders[name])
            flags = ["--service", name] + (["--asyncio"] if name == "east" else [])
            processes.append(Process("bank.py", *flags, ASSENT_ENDPOINT=self.daemon.endpoint, ASSENT_CONTRACT_FOLDER=folders[name]))
            self.addCleanup(processes[-1].close)
        client, results = self.client(), {}
        self.transfer_rich(client)
        threads = [threading.Thread(target=lambda k=k: [self.transfer(client, n, results) for n in range(k, 120, 6)]) for k in range(6)]
        for thread in threads:
            thread.start()
        for kill in range(6):
            until(lambda kill=kill: len(results) >= 15 * (kill + 1) or not any(thread.is_alive() for thread in threads))
            victim = (processes[0], self.daemon, processes[1])[kill % 3]
            victim.kill()
            victim.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), 120)
        committed = sum(outcome == assent.Outcome.COMMITTED for outcome in results.values())
        self.assertEqual(set(results.values()) - {assent.Outcome.COMMITTED, assent.Outcome.ABORTED}, set())
        self.assertGreater(committed, 0)
        self.assertEqual(books(os.path.join(folders["west"], "bank.db")), (1000 - committed, 0))
        self.assertEqual(books(os.path.join(folders["east"], "bank.db")), (committed, 0))
        for process in processes:
            self.assertEqual(process.stop(), 0, process.text())

    def transfer_rich(self, client):
        report = client.submit(assent.Transaction().saga("west", "add", json.dumps({"account": "w", "amount": 1000})))
        self.assertTrue(report.committed)

    # ---- unary

    def test_unary_plain_and_asyncio(self):
        service, done = self.shop()
        with assent.UnaryServer(service, "127.0.0.1:0") as server:
            daemon = Daemon("--unary", f"shop=127.0.0.1:{server.port}")
            self.addCleanup(daemon.close)
            with assent.Client(daemon.endpoint) as client:
                report = client.submit(assent.Transaction().tcc("shop", "reserve").saga("shop", "ship"), wait=assent.WaitFor.COMPLETED)
                self.assertTrue(report.committed)
                report = client.submit(assent.Transaction().saga("shop", "nothing"))
                self.assertEqual(report.abort_reason, "branch 1 shop/nothing refused: no ACTION of action nothing here")
        self.assertEqual(sorted(operation for operation, _ in done), ["ACTION", "CONFIRM", "TRY"])

        async def go():
            async with assent.aio.UnaryServer(service, "127.0.0.1:0") as server:
                daemon = await asyncio.to_thread(Daemon, "--unary", f"shop=127.0.0.1:{server.port}")
                self.addCleanup(daemon.close)
                async with assent.aio.Client(daemon.endpoint) as client:
                    self.assertTrue((await client.submit(assent.Transaction().tcc("shop", "reserve"))).committed)

        asyncio.run(go())

    # ---- the page

    def test_the_programs_of_the_page(self):
        text = ""
        for path in (os.path.join(support.SDK, "README.md"), os.path.join(support.ROOT, "docs/sdk-python.md")):
            with open(path, encoding="utf-8") as page:
                text += page.read()
        for name, program in re.findall(r"<!-- program: (\w+\.py) -->\n```python\n(.*?)```", text, re.S):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(program)
        said = re.findall(r"^python3 (buy\.py|trip\.py|shop\.py|kiosk\.py) +# (.*)$", text, re.M)
        self.assertEqual(len(said), 6)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": support.PACKAGE, "ASSENT_ENDPOINT": self.daemon.endpoint}
        with open(os.path.join(self.folder, "output"), "w+", encoding="utf-8") as output:
            services = [subprocess.Popen([sys.executable, "-B", name], cwd=self.folder, stdout=output, stderr=output, env=environment)
                        for name in ("cinema.py", "hotel.py")]
            try:
                for name, line in said:
                    done = subprocess.run([sys.executable, "-B", name], cwd=self.folder, capture_output=True, text=True, timeout=60, env=environment,
                                          check=False)
                    self.assertEqual((done.stdout, done.stderr), (line + "\n", ""))
                for service in services:
                    service.terminate()
                    self.assertEqual(service.wait(20), 0)
            finally:
                for service in services:
                    service.kill()
                    service.wait()
            # What the second trip booked is given back.
            with contextlib.closing(sqlite3.connect(os.path.join(self.folder, "hotel.db"))) as rooms:
                self.assertEqual(rooms.execute("SELECT nights FROM room").fetchall(), [("3 nights",), ("1 night",)])
            output.seek(0)
            self.assertRegex(output.read(), "^INFO:assent:connected session=.*\n$")


if __name__ == "__main__":
    unittest.main()

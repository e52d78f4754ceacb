"""What tools/measure makes of figures; and the row of C++ of its table of languages, measured for a moment."""

import os
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tools", "measure"))

import languages  # noqa: E402
import stores  # noqa: E402
import summary  # noqa: E402
from bench import Settings  # noqa: E402

SEEN = {"committed": 1000, "aborted": 0, "failed": 0, "first_failure": "", "seconds": 2.0, "p50_us": 2500}


def side(messages, cpu_us=10.0, p50_ms=1.0):
    return {"messages": messages, "cpu_us": cpu_us, "p50_ms": p50_ms}


class Figures(unittest.TestCase):
    def test_a_transaction_is_four_commands(self):
        result = languages.result_of(SEEN, 0.2, languages.COMMANDS)
        self.assertEqual(result, {"messages": 2000, "cpu_us": 50, "p50_ms": 2.5})

    def test_what_failed_is_no_figure(self):
        for change in ({"failed": 1}, {"aborted": 1}, {"committed": 0}):
            with self.assertRaises(RuntimeError):
                languages.result_of({**SEEN, **change}, 0.2, 1)

    def test_ratios_are_of_runs_that_followed_one_another(self):
        way = ("go", "session", "session", "echo")
        results = {"sdk": [side(100), side(900), side(400)], "echo": [side(200), side(1000), side(400)],
                   "stream": [side(100), side(1800), side(400)]}
        row = languages.row_of(way, results)
        self.assertEqual(len(row), len(languages.HEAD))
        self.assertEqual(row[:6], ["Go, session", "400", "400", "0.90 (0.50 to 1.00)", "400", "1.00 (0.50 to 1.00)"])
        self.assertEqual(row[6], "20.0")  # two commands

    def test_a_session_below_the_target_is_named(self):
        ways = [("go", "session", "session", "echo"), ("go", "unary", "unary", "echo"), ("node", "session", "session", "echo")]
        taken = [{"sdk": [side(59)], "echo": [side(100)]}, {"sdk": [side(1)], "echo": [side(100)]},
                 {"sdk": [side(60)], "echo": [side(100)]}]
        self.assertEqual(list(languages.missed(ways, taken)), ["Go, session: 0.59"])
        streams = [{"sdk": [side(100)], "stream": [side(200)]}, {}, {"sdk": [side(100)], "stream": [side(100)]}]
        self.assertEqual(list(languages.missed(ways, streams, "stream")), ["Go, session: 0.50"])
        result = {"rows": {"go session": taken[0], "node session": taken[2]}}
        self.assertEqual([(value, reached) for _, value, reached in summary.TARGETS["languages"](result)], [("0.59 (go session)", False)])

    def test_groups_are_beside_one_commit_each_over_as_many_connections(self):
        ways = [{"name": f"tcc, {what}, {count} connections", "rates": rates}
                for what, count, rates in (("groups", 2, [500, 800]), ("one commit each", 2, [100, 200]), ("groups", 4, [900, 900]),
                                           ("one commit each", 4, [300, 100]))]
        self.assertEqual(stores.ratios(ways, 2), [5, 4])
        self.assertEqual(stores.ratios(ways, 4), [3, 9])
        (_, value, reached), = summary.TARGETS["sdk-mariadb"]({"ways": ways})
        self.assertEqual((value, reached), ("4.5, 6.0", False))


class Programs(unittest.TestCase):
    def test_a_language_without_a_toolchain_is_left_out_and_why(self):
        script = os.path.join(SOURCE, "tools", "measure", "languages.sh")
        with tempfile.TemporaryDirectory() as folder:
            tools = os.path.join(folder, "tools")
            os.mkdir(tools)
            for name in ("bash", "dirname", "mkdir", "sed", "env"):
                os.symlink(subprocess.check_output(["which", name], text=True).strip(), os.path.join(tools, name))
            done = subprocess.run([script, "java", folder], env={"PATH": tools}, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("with Maven is here", done.stdout)

    def test_the_row_of_cpp_is_measured(self):
        result, text = languages.languages(Settings(seconds=0.4, rounds=1), wanted=("c++",))
        self.assertIn("| C++, session |", text)
        for results in result["rows"].values():
            for name, runs in results.items():
                self.assertGreater(runs[0]["messages"], 0, name)
                self.assertGreater(runs[0]["p50_ms"], 0, name)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""The mutation script can tell what is noticed from what is not: a tiny project of which the answers are known."""

import os
import sys
import tempfile
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools", "mutate"))

import judged  # noqa: E402
import main as mutate  # noqa: E402
import workshop  # noqa: E402
from mutations import mutants_of  # noqa: E402
from plan import Part  # noqa: E402

SAMPLE = os.path.join(HERE, "sample")
PART = Part(sources=("sample.cc",), tests=("sample_test",))


def changes(text):
    """{(kind, before, after)} of a function's body."""
    return {(m.kind, m.before, m.after) for m in mutants_of("a.cc", "void F() {\n" + text + "\n}\n")}


class Mutations(unittest.TestCase):
    def test_each_kind(self):
        for kind, before, after in [
                ("relational", "x = a < b;", "x = a <= b;"),
                ("relational", "x = a == b;", "x = a != b;"),
                ("boolean", "x = a && b;", "x = a || b;"),
                ("operand", "x = a && b(c) || d;", "x = a || d;"),
                ("operand", "if (a && b) c();", "if (b) c();"),
                ("operand", "return a.b == 1 && (c || d);", "return a.b == 1;"),
                ("negation", "x = !a;", "x = a;"),
                ("condition", "if (a) b();", "if (!(a)) b();"),
                ("condition", "if (const bool c = f(); c) b();", "if (const bool c = f(); !(c)) b();"),
                ("ternary", "x = a ? f(b) : c;", "x = a ? c : f(b);"),
                ("arithmetic", "x = a + b;", "x = a - b;"),
                ("arithmetic", "++x;", "--x;"),
                ("constant", "x = 0;", "x = 1;"),
                ("constant", "x = 1;", "x = 0;"),
                ("constant", "x = 10'000U;", "x = 10001U;"),
                ("constant", "x = true;", "x = false;"),
                ("statement", "x.y(1);", "{}"),
                ("statement", "if (a) x = 1;", "if (a) {}"),
                ("return", "if (a) return; b();", "if (a) {} b();"),
                ("loop", "while (a) { continue; }", "while (a) { break; }"),
                ("swap", "f(a, b.c);", "f(b.c, a);"),
                ("swap", "f(1, 2);", "f(2, 1);")]:
            self.assertIn((kind, before, after), changes(before), before)

    def test_what_is_left_alone(self):
        for text in ['// a < b && c', '/* x = 1; */', 'const char* s = "a < b + 1";', "static_assert(a < 1 && b);",
                     "ASSENT_CHECK(a == 1);", "#define X(a) a == 1", "std::vector<int> v;", "T&& t = g;", "Foo<A, B> f;",
                     'const auto s = R"(a < b; f(1, 2))";', 'spdlog::warn("{} {}", a, b);',
                     "Status status = f();", "v.reserve(n);", "const int m = std::min(a, b);"]:
            self.assertEqual(changes(text), set(), text)

    def test_the_last_return_has_nothing_to_fall_through_to(self):
        self.assertEqual({k for k, _, _ in changes("return a;")}, set())

    def test_lines_keep_their_numbers(self):
        text = "void F() {\n  g(a,\n    b);\n  h();\n}\n"
        for mutant in mutants_of("a.cc", text):
            self.assertEqual(mutant.apply(text).count("\n"), text.count("\n"))

    def test_functions_are_known_by_name(self):
        text = ("namespace a {\nclass C {\n int f() const { return 1; }\n};\n"
                "C::C(int x) : a_(x), b_{x} {\n g(0);\n}\nint C::h(int x) { return 2; }\nconst int kTable[] = {3};\n}\n")
        self.assertEqual([(m.function, m.before) for m in mutants_of("a.cc", text) if m.kind == "constant"],
                         [("C::f", "int f() const { return 1; }"), ("C::C", "g(0);"),
                          ("C::h", "int C::h(int x) { return 2; }"), ("kTable", "const int kTable[] = {3};")])

    def test_a_sample_is_spread_and_repeats(self):
        with open(os.path.join(SAMPLE, "sample.cc"), encoding="utf-8") as file:
            mutants = mutants_of("sample.cc", file.read())
        first = mutate.in_order(mutants, 1)
        self.assertEqual(first, mutate.in_order(list(reversed(mutants)), 1))
        self.assertNotEqual(first, mutate.in_order(mutants, 2))
        self.assertEqual(sorted(map(str, first)), sorted(map(str, mutants)))


class TheRun(unittest.TestCase):
    def test_what_becomes_of_each(self):
        workshop.TIMEOUT_SECONDS = 5
        with tempfile.TemporaryDirectory() as folder:
            options = types.SimpleNamespace(
                tree=SAMPLE, work=os.path.join(folder, "work"), results=os.path.join(folder, "results"), preset="release", thorough=False,
                jobs=1, build_jobs=1, headers=False, seed=1, sample=0, since=None, like=None, file=None, kind=None, match=None, until=None,
                outcome=None)
            self.assertTrue(mutate.Run("core", PART, options).go())
            records = mutate.records_of([options.results])
            outcome = {(r["function"], r["kind"], r["after"]): r["outcome"] for r in records}
            self.assertEqual(outcome["Fits", "relational", "bool Fits(int count) { return count <= 10; }"], "killed")
            self.assertEqual(outcome["Count", "statement", "while (counted != wanted) {}"], "killed")  # it hangs
            self.assertEqual(outcome["Unwatched", "arithmetic", "int Unwatched(int count) { return count - 1000; }"], "survived")
            self.assertEqual(outcome["Dead", "constant", "if (kNever) count = 8;"], "same object")
            self.assertEqual(outcome["Skip", "swap", "const char* Skip(const char* text, int at) { return Put(at, text); }"],
                             "does not compile")
            table = mutate.table(records, [])
            self.assertIn(f"| {sum(r['outcome'] == 'killed' for r in records)} |", table)

            with open(options.results, encoding="utf-8") as file:
                before = file.read()
            self.assertTrue(mutate.Run("core", PART, options).go())  # it goes on where it ended: nothing is left
            with open(options.results, encoding="utf-8") as file:
                self.assertEqual(file.read(), before)


    def test_what_a_killed_run_left_is_put_back(self):
        with tempfile.TemporaryDirectory() as folder:
            shop = workshop.Workshop(SAMPLE, folder)
            shop.prepare()
            self.assertTrue(shop.ninja("sample_test")[0])
            name = next(os.path.join(d, f) for d, _, fs in os.walk(shop.build) for f in fs if f == "sample.cc.o")
            with open(name, "rb") as file:
                right = file.read()
            os.rename(name, name + ".original")
            with open(name, "wb") as file:
                file.write(b"a mutant")
            again = workshop.Workshop(SAMPLE, folder)
            again.prepare()
            with open(name, "rb") as file:
                self.assertEqual(file.read(), right)
            self.assertFalse(os.path.exists(name + ".original"))
            shop.close()
            again.close()

    def test_a_score_says_how_sure_it_is(self):
        self.assertEqual(mutate.score(26, 40), "65 % (50 to 78)")
        self.assertEqual(mutate.score(40, 40), "100 % (91 to 100)")
        self.assertEqual(mutate.score(0, 0), "")


class Judged(unittest.TestCase):
    GOOD = "sample.cc: Unwatched\n- int Unwatched(int count) { return count + 1000; }\n" \
           "+ int Unwatched(int count) { return count - 1000; }\nnobody calls it\n"

    def faults(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "judged.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            entries, faults = judged.read(path)
            stale = list(judged.check(SAMPLE, entries))
            judged.drop(path, [entry for entry, _ in stale])
            left, _ = judged.read(path)
            return faults + [fault for _, fault in stale], len(left)

    def test_an_entry_that_applies(self):
        self.assertEqual(self.faults("# words\n\n" + self.GOOD), ([], 1))

    def test_an_entry_whose_line_is_gone(self):
        faults, left = self.faults(self.GOOD + "\n" + self.GOOD.replace("1000", "2000"))
        self.assertEqual((len(faults), left), (1, 1))
        self.assertIn("no longer applies", faults[0])

    def test_an_entry_that_stands_twice(self):
        self.assertIn("stands twice", self.faults(self.GOOD + "\n" + self.GOOD)[0][0])

    def test_an_entry_without_a_reason(self):
        self.assertIn("not an entry", self.faults(self.GOOD.replace("nobody calls it\n", ""))[0][0])


if __name__ == "__main__":
    unittest.main()

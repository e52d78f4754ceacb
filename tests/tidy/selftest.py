#!/usr/bin/python3
"""The checks can fail: each one is shown a small repository with one fault in it, and the same without."""

import os
import subprocess
import sys
import tempfile
import unittest

import check_core_symbols
import check_locks
import check_sources

GOOD = {
    "CMakeLists.txt": "project(x)\n",
    "README.md": "[design](coordinator/core/DESIGN.md)\n",
    "proto/CMakeLists.txt": "assent_library(assent_vocabulary INCLUDES vocabulary)\n",
    "proto/vocabulary/assent/status.h": "#pragma once\n#include <string>\n",
    "coordinator/base/CMakeLists.txt": "assent_library(assent_base DEPENDS assent_vocabulary Threads::Threads)\n",
    "coordinator/base/DESIGN.md": "Invariant.\n",
    "coordinator/base/ids.h": "// Contract.\n#pragma once\n#include <assent/status.h>\n",
    "coordinator/core/CMakeLists.txt": "assent_library(assent_core SOURCES core.cc DEPENDS assent_vocabulary)\n",
    "coordinator/core/DESIGN.md": "Invariant.\n",
    "coordinator/core/core.h": "#pragma once\n#include <assent/status.h>\n",
    "coordinator/core/core.cc": '#include "coordinator/core/core.h"\n#include <map>\n',
    "coordinator/engine/engine.h": '#pragma once\n#include "coordinator/core/core.h"\n',
    "participant-sdk/cpp/include/assent/client.h": "#pragma once\n#include <assent/status.h>\n",
    "participant-sdk/cpp/include/assent/sqlite.h": "#pragma once\n#include <sqlite3.h>\n",
    "participant-sdk/cpp/src/session.h": '#pragma once\n#include <grpcpp/grpcpp.h>\n#include "assent/v1/types.pb.h"\n',
    "tools/assentctl/output.h": '#pragma once\n#include "assent/v1/types.pb.h"\n',
    "examples/order/books.h": "#pragma once\n#include <assent/client.h>\n",
    "tools/run.sh": "#!/bin/sh\ntrue\n",
}

# Each: the check that must complain, what it must say, and the files that are added or replaced.
BAD = [
    ("check_arrows", "core may not include coordinator/engine/engine.h",
     {"coordinator/core/core.h": '#pragma once\n#include "coordinator/engine/engine.h"\n'}),
    ("check_arrows", "core may not include sqlite3.h", {"coordinator/core/core.h": "#pragma once\n#include <sqlite3.h>\n"}),
    ("check_arrows", "core may not include assent/v1/types.pb.h",
     {"coordinator/core/core.h": '#pragma once\n#include "assent/v1/types.pb.h"\n'}),
    ("check_arrows", "base may not include coordinator/core/core.h",
     {"coordinator/base/ids.h": '#pragma once\n#include "coordinator/core/core.h"\n'}),
    ("check_arrows", "engine may not include grpcpp/grpcpp.h",
     {"coordinator/engine/engine.h": "#pragma once\n#include <grpcpp/grpcpp.h>\n"}),
    ("check_arrows", "participant-sdk/cpp/src may not include coordinator/base/ids.h",
     {"participant-sdk/cpp/src/session.h": '#pragma once\n#include "coordinator/base/ids.h"\n'}),
    ("check_arrows", "participant-sdk/cpp/include may not include grpcpp/grpcpp.h",
     {"participant-sdk/cpp/include/assent/client.h": "#pragma once\n#include <grpcpp/grpcpp.h>\n"}),
    ("check_arrows", "participant-sdk/cpp/include may not include sqlite3.h",
     {"participant-sdk/cpp/include/assent/client.h": "#pragma once\n#include <sqlite3.h>\n"}),
    ("check_arrows", "assentctl may not include coordinator/engine/engine.h",
     {"tools/assentctl/output.h": '#pragma once\n#include "coordinator/engine/engine.h"\n'}),
    ("check_arrows", "examples may not include participant-sdk/cpp/src/session.h",
     {"examples/order/books.h": '#pragma once\n#include "participant-sdk/cpp/src/session.h"\n'}),
    ("check_arrows", "examples may not include assent/v1/types.pb.h",
     {"examples/order/books.h": '#pragma once\n#include "assent/v1/types.pb.h"\n'}),
    ("check_arrows", "proto/vocabulary may not include coordinator/base/ids.h",
     {"proto/vocabulary/assent/status.h": '#pragma once\n#include "coordinator/base/ids.h"\n'}),
    ("check_arrows", "no rule", {"elsewhere/a.h": "#pragma once\n"}),
    ("check_arrows", "core may not include coordinator/base/ids.h",
     {"coordinator/core/core.h": '#pragma once\n#include "coordinator/base/ids.h"\n'}),
    ("check_cmake_arrows", "core/CMakeLists.txt: lists no target of proto/vocabulary, which coordinator/core/core.h:2 includes",
     {"coordinator/core/CMakeLists.txt": "assent_library(assent_core SOURCES core.cc)\n"}),
    ("check_cmake_arrows", "core/CMakeLists.txt: lists assent_base, of which the folder includes nothing",
     {"coordinator/core/CMakeLists.txt": "assent_library(assent_core SOURCES core.cc DEPENDS assent_vocabulary assent_base)\n"}),
    ("check_cmake_arrows", "core/CMakeLists.txt: lists no target of spdlog",
     {"coordinator/core/core.cc": "#include <spdlog/spdlog.h>\n"}),
    ("check_cmake_arrows", "core/CMakeLists.txt: lists spdlog::spdlog, of which",
     {"coordinator/core/CMakeLists.txt": "assent_library(assent_core DEPENDS assent_vocabulary\n  PRIVATE_DEPENDS spdlog::spdlog)\n"}),
    ("check_cmake_arrows", "lists no target of wire of gRPC",
     {"participant-sdk/cpp/CMakeLists.txt": "assent_library(assent_sdk DEPENDS assent_proto_messages)\n",
      "participant-sdk/cpp/src/session.h": '#include "assent/v1/types.grpc.pb.h"\n'}),
    ("check_dead_rules", "nothing in coordinator/core includes vocabulary",
     {"coordinator/core/core.h": "#pragma once\n", "tests/tidy/rules.py": "\n"}),
    ("check_include_spelling", "not a path from the root", {"coordinator/core/core.cc": '#include "core.h"\n'}),
    ("check_include_spelling", "not a path from the root", {"coordinator/engine/engine.h": '#pragma once\n#include "coordinator/engine/own.pb.h"\n'}),
    ("check_arrows", "core may not include coordinator/engine/own.pb.h",
     {"coordinator/core/core.h": '#pragma once\n#include "coordinator/engine/own.pb.h"\n', "coordinator/engine/own.proto": ""}),
    ("check_core_headers", "may not include <thread>", {"coordinator/core/core.cc": "#include <thread>\n"}),
    ("check_length", "501 lines", {"coordinator/core/core.h": "#pragma once\n" + "//\n" * 500}),
    ("check_whitespace", "trailing blanks", {"coordinator/core/core.h": "#pragma once \n"}),
    ("check_whitespace", "tab", {"coordinator/core/core.h": "#pragma once\n\tint x;\n"}),
    ("check_whitespace", "no newline", {"README.md": "x"}),
    ("check_whitespace", "carriage return", {"coordinator/core/core.h": "#pragma once\r\n"}),
    ("check_function_length", "core.cc:2: a function of 71 lines",
     {"coordinator/core/core.cc": "namespace a {\nint F(int a,\n      int b) {\n" + "  f();\n" * 68 + "}\n}\n"}),
    ("check_function_length", "core.h:3: a function of 71 lines",
     {"coordinator/core/core.h": "#pragma once\nclass A : public B {\n  A(int a)\n      : B(a) {\n" + "    f();\n" * 68 + "  }\n};\n"}),
    ("check_function_length", "run.py:1: a function of 71 lines", {"tools/run.py": "def f():\n" + "    f()\n" * 70}),
    ("check_columns", "101 columns", {"coordinator/core/core.h": "#pragma once\n// " + "x" * 98 + "\n"}),
    ("check_columns", "core.h:3: 101 columns", {"coordinator/core/core.h": '#pragma once\nauto s = R"(' + "x" * 140 + ')";\n'
                                                                         "// " + "x" * 98 + "\n"}),
    ("check_columns", "at most 132", {"coordinator/core/core.h": "#pragma once\n// a --> b " + "x" * 140 + "\n"}),
    ("check_banned", "todo", {"coordinator/core/core.cc": "// TODO: later\n"}),
    ("check_banned", "sleep", {"tests/a_test.cc": "std::this_thread::sleep_for(1s);\n"}),
    ("check_banned", "assert", {"coordinator/core/core.cc": "void F() { assert(true); }\n"}),
    ("check_banned", "mutex", {"coordinator/base/lock.h": "#pragma once\nstd::mutex mutex_;\n"}),
    ("check_banned", "mutex", {"coordinator/base/lock.h": "#pragma once\nint x_;  // guarded by mutex_\n"}),
    ("check_banned", "README.md:1: merge", {"README.md": "<<<<<<< HEAD\n"}),
    ("check_banned", "new-library", {"coordinator/core/core.cc": "#include <format>\n"}),
    ("check_banned", "local-path", {"tools/run.sh": "#!/bin/sh\ncd /wo" + "rk/x\n"}),
    ("check_pragma_once", "does not begin", {"coordinator/core/core.h": "// Contract.\nint x;\n"}),
    ("check_design_pages", "coordinator/log: no DESIGN.md", {"coordinator/log/CMakeLists.txt": "#\n"}),
    ("check_sources_built", "does not name it", {"coordinator/core/forgotten.cc": "\n"}),
    ("check_top_level", "misc", {"misc/x.md": "x\n"}),
    ("check_links", "broken link", {"README.md": "[x](docs/nowhere.md)\n"}),
    ("check_scripts", "syntax error", {"tools/run.sh": "#!/bin/sh\nif\n"}),
]

# What must be let through.
FINE = [
    {"tests/a_test.cc": "sleep_for(1s);  // tidy: allow(sleep) the subject of the test\n", "tests/CMakeLists.txt": "a_test.cc\n"},
    {"coordinator/core/core.cc": 'static_assert(true);\n#include <vector>\n'},
    {"coordinator/core/core.cc": "int F() {\n" + "  f();\n" * 68 + "}\n" + "int kTable[] = {\n" + "    1,\n" * 80 + "};\n"
                                 + "struct A {\n" + "  int x = f();\n" * 80 + "  int F() {\n  }\n};\n"},
    {"coordinator/base/wide.h": "#pragma once\n// https://" + "x" * 95 + "\n//   a --> b --" + "x" * 90 + "\n//   a   b   " + "c" * 95 + "\n"},
    {"coordinator/base/wide.h": '#pragma once\nauto s = R"sql(\n' + "x" * 140 + ')sql";\n'},
    {"coordinator/engine/engine.h": '#pragma once\n#include "coordinator/engine/own.pb.h"\n', "coordinator/engine/own.proto": ""},
    {"examples/cpp-raw/main.cc": '#include "assent/v1/types.pb.h"\n', "examples/cpp-raw/CMakeLists.txt": "assent_executable(raw SOURCES main.cc DEPENDS assent_proto)\n"},
]


def faults_with(changes, checks=None):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**GOOD, **changes}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", newline="") as file:
                file.write(text)
            if path.endswith(".sh"):
                os.chmod(full, 0o755)
        return check_sources.faults_of(root, checks)


class Sources(unittest.TestCase):
    def test_the_good_repository_has_no_fault(self):
        self.assertEqual([], faults_with({}))

    def test_what_is_fine_passes(self):
        for changes in FINE:
            with self.subTest(changes=changes):
                self.assertEqual([], faults_with(changes))

    def test_each_fault_is_found(self):
        for check, words, changes in BAD:
            with self.subTest(check=check, words=words):
                faults = faults_with(changes, [getattr(check_sources, check)])
                self.assertTrue(any(words in fault for fault in faults), f"{check} said {faults}")

    def test_each_check_is_shown_failing(self):
        self.assertEqual({check.__name__ for check in check_sources.CHECKS}, {check for check, _, _ in BAD})


class Symbols(unittest.TestCase):
    def symbols(self, code):
        with tempfile.TemporaryDirectory() as folder:
            source, object_file = os.path.join(folder, "a.cc"), os.path.join(folder, "a.o")
            with open(source, "w") as file:
                file.write(code)
            subprocess.run([os.environ.get("CXX", "c++"), "-std=c++20", "-O1", "-c", source, "-o", object_file], check=True)
            return [s for _, s in check_core_symbols.undefined_symbols(object_file) if not check_core_symbols.is_allowed(s)]

    def test_pure_code_passes(self):
        self.assertEqual([], self.symbols(
            "#include <map>\n#include <string>\n#include <vector>\n#include <stdexcept>\n"
            "std::string F(std::map<std::string, std::vector<int>>& m, std::string k)\n"
            "{ m[k].push_back(1); return k + std::to_string(m.size()); }\n"))

    def test_what_touches_the_world_is_found(self):
        for code in (
            "#include <chrono>\nauto F() { return std::chrono::steady_clock::now(); }",
            "#include <ctime>\nauto F() { return time(nullptr); }",
            "#include <random>\nauto F() { return std::random_device{}(); }",
            "#include <cstdlib>\nint F() { return rand(); }",
            "#include <thread>\nvoid F() { std::thread([] {}).join(); }",
            "#include <mutex>\nstd::mutex m; void F() { std::lock_guard lock(m); }",
            "#include <fstream>\nvoid F() { std::ofstream(\"x\") << 1; }",
            "#include <iostream>\nvoid F() { std::cout << 1; }",
            "#include <cstdio>\nvoid F() { fopen(\"x\", \"r\"); }",
            "#include <sys/socket.h>\nint F() { return socket(1, 2, 3); }",
            "#include <unistd.h>\nint F() { return getpid(); }",
            "#include <cstdlib>\nauto F() { return getenv(\"X\"); }",
        ):
            with self.subTest(code=code):
                self.assertNotEqual([], self.symbols(code))


@unittest.skipUnless(check_locks.CLANG, "there is no clang++")
class Locks(unittest.TestCase):
    HEAD = """
#include <assent/thread_safety.h>
class Tally {
 public:
  int Good() {
    assent::MutexLock lock(mutex_);
    while (sum_ < 7) changed_.Wait(mutex_);
    lock.Unlock();
    lock.Lock();
    const auto look = [this] { mutex_.AssertHeld(); return sum_; };
    return look() + Sum();
  }
"""
    TAIL = """
 private:
  int Sum() const ASSENT_REQUIRES(mutex_) { return sum_; }
  assent::Mutex mutex_;
  assent::CondVar changed_;
  int sum_ ASSENT_GUARDED_BY(mutex_) = 0;
};
"""

    def refusal(self, member):
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "a.cc"), "w") as file:
                file.write(self.HEAD + member + self.TAIL)
            return check_locks.refusal(["-std=c++20", f"-I{root}/proto/vocabulary", "a.cc"], folder)

    def test_what_is_right_passes(self):
        self.assertEqual("", self.refusal(""))

    def test_what_is_wrong_is_refused(self):
        for words, member in (
            ("reading variable 'sum_' requires holding mutex", "int Bad() { return sum_; }"),
            ("writing variable 'sum_' requires holding mutex", "void Bad() { sum_ = 1; }"),
            ("calling function 'Sum' requires holding mutex", "int Bad() { return Sum(); }"),
            ("calling function 'Wait' requires holding mutex", "void Bad() { changed_.Wait(mutex_); }"),
            ("acquiring mutex 'mutex_' that is already held",
             "void Bad() { assent::MutexLock a(mutex_); assent::MutexLock b(mutex_); }"),
            ("reading variable 'sum_' requires holding mutex",
             "int Bad() { assent::MutexLock lock(mutex_); lock.Unlock(); return sum_; }"),
            ("reading variable 'sum_' requires holding mutex",
             "int Bad() { assent::MutexLock lock(mutex_); return [this] { return sum_; }(); }"),
            ("still held at the end", "void Bad() { mutex_.Lock(); }"),
        ):
            with self.subTest(member=member):
                self.assertIn(words, self.refusal(member))


if __name__ == "__main__":
    sys.exit(unittest.main())

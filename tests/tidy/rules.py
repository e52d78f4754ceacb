"""The rules of the repository as data. The arrows are those of the drawing in docs/ and in coordinator/: read as "files
below this folder may include these". A longer folder name wins over a shorter one.
"""

# ---------------------------------------------------------------------------------------------------- arrows
# Words:  "std" the C and C++ standard library     "posix" system headers     "vocabulary" <assent/...> of proto/vocabulary
#         "sdk" the public headers of participant-sdk     "wire" generated "assent/v1/..."
#         "grpc" grpcpp, grpc, google/protobuf     any other word: a folder of ours, or the first part of a third-party
#         header's name (sqlite3.h, spdlog, nlohmann, CLI, gtest, ...)

ARROWS = {
    "proto/vocabulary": ["std", "vocabulary"],
    "proto/toml": ["std", "vocabulary", "toml++", "proto/toml"],
    "proto/manual": ["std", "CLI", "proto/manual"],
    "proto/tls": ["std", "posix", "vocabulary", "grpc", "openssl", "proto/tls"],
    "proto/words": ["std", "vocabulary", "wire", "proto/words"],
    "proto/json": ["std", "vocabulary", "grpc", "nlohmann", "proto/json"],
    "proto/parse": ["std", "vocabulary", "grpc", "proto/parse"],
    # The coordinator, lowest first.
    "coordinator/base": ["std", "posix", "vocabulary", "coordinator/base"],
    "coordinator/core": ["std", "vocabulary", "coordinator/core"],
    "coordinator/cluster": ["std", "vocabulary", "coordinator/cluster"],
    "coordinator/crypt": ["std", "vocabulary", "openssl", "coordinator/base", "coordinator/crypt"],
    "coordinator/log": ["std", "vocabulary", "coordinator/base", "coordinator/log"],
    "coordinator/log/sealed": ["std", "vocabulary", "coordinator/crypt", "coordinator/log", "coordinator/log/sealed"],
    "coordinator/log/memory": ["std", "vocabulary", "coordinator/log", "coordinator/log/memory"],
    "coordinator/log/sqlite": ["std", "posix", "vocabulary", "sqlite3.h", "coordinator/base", "coordinator/log", "coordinator/log/sqlite"],
    "coordinator/log/migrate": ["std", "posix", "vocabulary", "coordinator/base", "coordinator/log", "coordinator/log/postgresql",
                                "coordinator/log/sqlite", "coordinator/log/migrate"],
    "coordinator/log/postgresql": ["std", "posix", "vocabulary", "libpq-fe.h", "coordinator/base", "coordinator/cluster", "coordinator/log",
                                   "coordinator/log/postgresql"],
    "coordinator/offline": ["std", "posix", "vocabulary", "nlohmann", "coordinator/audit", "coordinator/base", "coordinator/core",
                            "coordinator/crypt", "coordinator/log", "coordinator/log/sqlite", "coordinator/offline"],
    "coordinator/audit": ["std", "posix", "vocabulary", "sqlite3.h", "openssl", "coordinator/base", "coordinator/log", "coordinator/log/postgresql",
                          "coordinator/log/sqlite", "coordinator/audit"],
    "coordinator/tracing": ["std", "vocabulary", "coordinator/tracing"],
    "coordinator/tracing/otlp": ["std", "vocabulary", "grpc", "coordinator/base", "coordinator/post", "coordinator/tracing", "coordinator/tracing/otlp"],
    "coordinator/traffic": ["std", "vocabulary", "proto/toml", "coordinator/core", "coordinator/traffic"],
    "coordinator/transport": ["std", "vocabulary", "wire", "grpc", "absl", "proto/parse", "proto/tls", "proto/words",
                              "coordinator/base", "coordinator/core", "coordinator/traffic", "coordinator/transport"],
    "coordinator/transport/http": ["std", "vocabulary", "wire", "grpc", "curl", "nlohmann", "proto/json", "coordinator/base",
                                   "coordinator/post", "coordinator/tls", "coordinator/transport", "coordinator/transport/http"],
    "coordinator/discovery": ["std", "posix", "vocabulary", "coordinator/transport", "coordinator/discovery"],
    "coordinator/discovery/dns": ["std", "posix", "vocabulary", "ares.h", "coordinator/base", "coordinator/discovery",
                                  "coordinator/discovery/dns"],
    "coordinator/discovery/etcd": ["std", "vocabulary", "grpc", "nlohmann", "proto/tls", "coordinator/base", "coordinator/discovery",
                                   "coordinator/discovery/etcd"],
    "coordinator/engine": ["std", "posix", "vocabulary", "absl",
                           "coordinator/base", "coordinator/core", "coordinator/log",
                           "coordinator/tracing", "coordinator/transport", "coordinator/engine"],
    "coordinator/security": ["std", "vocabulary", "nlohmann", "openssl", "coordinator/security"],
    "coordinator/service": ["std", "vocabulary", "wire", "absl", "proto/words", "coordinator/base", "coordinator/audit", "coordinator/core",
                            "coordinator/cluster", "coordinator/security", "coordinator/traffic", "coordinator/transport", "coordinator/engine", "coordinator/service"],
    "coordinator/grpc": ["std", "vocabulary", "wire", "grpc", "proto/parse", "proto/tls", "coordinator/base", "coordinator/security",
                         "coordinator/transport", "coordinator/service", "coordinator/tls", "coordinator/grpc"],
    "coordinator/metrics": ["std", "posix", "vocabulary", "prometheus", "coordinator/base", "coordinator/core", "coordinator/log",
                            "coordinator/transport", "coordinator/engine", "coordinator/metrics"],
    "coordinator/tls": ["std", "posix", "vocabulary", "openssl", "coordinator/base", "coordinator/tls"],
    "coordinator/post": ["std", "vocabulary", "boost", "openssl", "coordinator/tls", "coordinator/post"],
    "coordinator/webhook": ["std", "vocabulary", "nlohmann", "openssl", "coordinator/base", "coordinator/post", "coordinator/webhook"],
    "coordinator/http": ["std", "posix", "vocabulary", "wire", "grpc", "boost", "nlohmann", "openssl", "proto/json", "coordinator/base",
                         "coordinator/security", "coordinator/service", "coordinator/tls", "coordinator/http"],
    "coordinator/daemon": ["std", "posix", "vocabulary", "grpc", "absl", "spdlog", "nlohmann", "CLI", "proto/manual", "proto/tls", "proto/toml",
                           "coordinator"],
    # The SDK: its public headers show nothing but the standard library; an adapter may show its database.
    "participant-sdk/cpp/include": ["std", "vocabulary", "sdk"],
    "participant-sdk/cpp/src": ["std", "posix", "vocabulary", "sdk", "wire", "grpc", "proto/tls", "proto/words",
                                "participant-sdk/cpp/src"],
    # The test kit alone runs the coordinator's own state machine.
    "participant-sdk/cpp/testkit": ["std", "vocabulary", "sdk", "coordinator/core",
                                    "participant-sdk/cpp/testkit"],
    # The barrier's rules are pure; each adapter runs them over its own database.
    # The outbox's rules and its relay, over any database.
    "participant-sdk/cpp/outbox": ["std", "vocabulary", "sdk", "wire", "participant-sdk/cpp/src", "participant-sdk/cpp/barrier", "participant-sdk/cpp/outbox"],
    "participant-sdk/cpp/barrier": ["std", "vocabulary", "sdk", "participant-sdk/cpp/barrier"],
    # What the adapters of databases that are servers share.
    "participant-sdk/cpp/server": ["std", "vocabulary", "sdk", "participant-sdk/cpp/src", "participant-sdk/cpp/server"],
    "participant-sdk/cpp/sqlite": ["std", "posix", "vocabulary", "sdk",
                                   "participant-sdk/cpp/src", "participant-sdk/cpp/barrier", "participant-sdk/cpp/outbox",
                                   "participant-sdk/cpp/sqlite"],
    "participant-sdk/cpp/postgresql": ["std", "posix", "vocabulary", "sdk", "libpq-fe.h",
                                       "participant-sdk/cpp/barrier", "participant-sdk/cpp/outbox", "participant-sdk/cpp/server",
                                       "participant-sdk/cpp/postgresql"],
    "participant-sdk/cpp/mariadb": ["std", "vocabulary", "sdk", "mysql.h",
                                    "participant-sdk/cpp/barrier", "participant-sdk/cpp/outbox", "participant-sdk/cpp/server",
                                    "participant-sdk/cpp/mariadb"],
    # Clients.
    "tools/assentctl": ["std", "posix", "vocabulary", "wire", "grpc", "nlohmann", "openssl", "CLI", "proto/json", "proto/manual", "proto/tls", "proto/toml", "proto/words",
                        "coordinator/audit", "coordinator/base", "coordinator/crypt", "coordinator/log/migrate", "coordinator/offline", "coordinator/security",
                        "tools/assentctl"],
    "tools/assent-relay": ["std", "posix", "vocabulary", "sdk", "nlohmann", "CLI", "spdlog", "proto/manual", "tools/assentctl", "tools/assent-relay"],
    "tools/assent-bench": ["std", "posix", "vocabulary", "wire", "grpc", "absl", "nlohmann", "CLI", "sdk",
                           "sqlite3.h", "libpq-fe.h", "boost", "coordinator/core", "coordinator/http", "coordinator/log",
                           "tools/assent-bench"],
    "tools/assent-sim": ["std", "posix", "vocabulary", "wire", "sdk", "proto/words", "nlohmann", "CLI", "coordinator",
                         "participant-sdk", "tools/assent-sim"],
    "tools/cmake": ["std"],
    # Examples are outsiders. Those named *-raw speak the wire without the SDK.
    "examples": ["std", "posix", "vocabulary", "sdk", "sqlite3.h", "nlohmann", "CLI", "examples"],
    # Tests may include anything.
    "tests": None,
}

# Adapters, by file name below participant-sdk/: these may also include their database's header (and the mock GoogleMock's).
ADAPTERS = {"sqlite": "sqlite3.h", "mock_": "gmock"}

# Folders matched by pattern that may include generated code although their parent may not.
RAW_EXAMPLES = r"^examples/[^/]*raw[^/]*/"

# ---------------------------------------------------------------------------------------------------- CMake
# A folder that includes another's header lists its target, and lists nothing else (cmake_arrows.py).
SDK_HEADERS = "participant-sdk/cpp/include"
# Words for others' targets.
TARGET_WORDS = {"assent_proto": "wire of gRPC", "assent_proto_messages": "wire", "assent_otlp_messages": "wire", "assent_discovery_etcd_proto": "wire of gRPC"}
PACKAGES = {"grpc": "gRPC::", "absl": "absl::", "spdlog": "spdlog::spdlog$", "nlohmann": "nlohmann_json::nlohmann_json$",
            "CLI": "CLI11::CLI11$", "boost": "Boost::headers$", "curl": "CURL::libcurl$", "openssl": "OpenSSL::(Crypto|SSL)$", "prometheus": "PkgConfig::prometheus$", "sqlite3.h": "SQLite::SQLite3$",
            "libpq-fe.h": "PkgConfig::libpq$", "mysql.h": "PkgConfig::libmariadb$", "ares.h": "PkgConfig::cares$"}
# They bring no header, or come for the user's sake.
LINKED_FOR_ITSELF = {"Threads::Threads", "resolv", "assent_allocator", "assent_sdk_testkit"}
# Targets of sources that other targets have too.
MADE_OF_COPIES = {"assent-sim-mutants"}

# Standard headers that coordinator/core may not include: clocks, threads, randomness, streams, the operating system.
CORE_FORBIDDEN_HEADERS = {
    "assent/thread_safety.h", "atomic", "barrier", "condition_variable", "csignal", "cstdio", "ctime", "execution",
    "filesystem", "fstream",
    "future", "iomanip", "ios", "iostream", "istream", "latch", "mutex", "ostream", "random", "semaphore",
    "shared_mutex", "sstream", "stop_token", "streambuf", "syncstream", "thread",
}

# ---------------------------------------------------------------------------------------------------- symbols of core
# What an object of core may leave undefined: memory, bytes, exceptions, assertions, and the library's containers.
CORE_ALLOWED_C_SYMBOLS = {
    "memchr", "memcmp", "memcpy", "memmove", "memset", "strlen", "strcmp", "strncmp", "bcmp",
    "malloc", "free", "abort", "fprintf", "fputs", "fwrite", "fflush", "stderr",  # the last five: ASSENT_CHECK's last words
    "strtol", "strtoll", "strtoul", "strtoull", "snprintf", "__errno_location",
    "__cxa_allocate_exception", "__cxa_atexit", "__cxa_begin_catch", "__cxa_end_catch", "__cxa_free_exception",
    "__cxa_guard_abort", "__cxa_guard_acquire", "__cxa_guard_release", "__cxa_pure_virtual", "__cxa_rethrow",
    "__cxa_throw", "__cxa_throw_bad_array_new_length", "__gxx_personality_v0", "__dso_handle", "_Unwind_Resume",
    "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_", "__fprintf_chk", "__memcpy_chk", "__snprintf_chk", "__tls_get_addr",
    "__libc_single_threaded",  # std::shared_ptr's count, which is no lock
}
# And by demangled prefix.
CORE_ALLOWED_PREFIXES = ["assent::", "operator new", "operator delete", "std::", "vtable for ", "typeinfo for ",
                         "guard variable for ", "non-virtual thunk to "]
# Taken back from std::.
CORE_FORBIDDEN_PATTERNS = [r"::now\(", r"std::random_device", r"std::mersenne", r"std::thread", r"std::this_thread",
                           r"std::condition_variable", r"std::mutex", r"std::filesystem", r"std::basic_[io]*fstream",
                           r"std::basic_filebuf", r"std::c(out|err|in|log)\b", r"std::future",
                           r"std::ios_base"]

# ---------------------------------------------------------------------------------------------------- text
MAX_LINES = 500
MAX_COLUMNS = 100  # clang-format holds code to it; this holds comments and protos
# Comments that may be wider, up to MAX_WIDE_COLUMNS: drawings, tables, addresses.
WIDE = [r"--+(>|\+)|\+--|\S {3,}\S.* {3,}\S", r"https?://"]
MAX_WIDE_COLUMNS = 132
MAX_FUNCTION_LINES = 70
LENGTH_CHECKED = (".h", ".cc", ".py", ".sh", ".cmake", ".js", ".css", ".html")

# (rule name, pattern, file pattern, why). A line that ends with "tidy: allow(<rule>) <reason>" in a comment is let through.
BANNED = [
    ("todo", r"\b(TODO|FIXME|XXX|HACK)\b", r"\.(h|cc|proto|cmake|sh|py)$", "file an issue, or do it"),
    ("sleep", r"\bsleep_(for|until)\s*\(|\busleep\s*\(|\bnanosleep\s*\(", r"\.(h|cc)$",
     "wait for the condition, not for the clock"),
    ("detach", r"\.detach\(\)", r"\.(h|cc)$", "whoever starts a thread joins it"),
    ("endl", r"\bstd::endl\b", r"\.(h|cc)$", "write '\\n'; flush where flushing is meant"),
    ("using-namespace", r"\busing\s+namespace\s+std\s*;", r"\.(h|cc)$", "name what is used"),
    ("assert", r"(?<![\w_:])assert\s*\(", r"\.(h|cc)$", "ASSENT_CHECK stays on in release builds"),
    ("mutex", r"\bstd::(recursive_|shared_|timed_)*mutex\b|\bstd::condition_variable|[Gg]uarded by \w*mutex",
     r"^(coordinator/|participant-sdk/|tools/).*\.(h|cc)$", "<assent/thread_safety.h> has locks that clang checks"),
    ("merge", r"^(<<<<<<<|>>>>>>>) ", r"", "the marks of a merge"),
    ("rand", r"(?<![\w_])s?rand\s*\(", r"\.(h|cc)$", "deterministic code has its own generator"),
    ("new-library", r"#\s*include\s*<(expected|format|source_location|ranges|generator|print)>|\bstd::views::",
     r"\.(h|cc)$", "g++ 12 and clang 14 must both take it"),
    ("local-path", "/wo" + "rk/", r"", "a path of one machine"),
]

# ---------------------------------------------------------------------------------------------------- the top level
TOP_LEVEL = {
    "CMakeLists.txt", "Dockerfile", "CMakePresets.json", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md", "README.md",
    "coordinator", "participant-sdk", "proto", "examples", "tests", "tools", "docs",
}  # and dotfiles

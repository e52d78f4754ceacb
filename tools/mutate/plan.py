"""Which sources are mutated, and which tests could notice."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Part:
    sources: tuple  # patterns of paths; later ones that begin with "-" take away
    tests: tuple  # patterns (regular expressions) of the names that ctest knows
    slow: tuple = ()  # likewise, with --thorough: minutes for each survivor
    programs: tuple = ()  # (target, arguments): other programs of the build
    daemon: bool = False  # tests of these that are labelled integration or crash start assentd


SIM = ("assent-sim", ("random", "--threads", "1", "--schedules", "4000"))
SIM_FULL = ("assent-sim", ("random", "--full", "--threads", "1", "--schedules", "150"))

PARTS = {
    "core": Part(
        sources=("coordinator/core/*",),
        tests=(r"core_.*", r"engine_.*test"),
        slow=(r"sim_random", r"sim_exhaustive"),
        programs=(SIM, SIM_FULL)),
    "engine": Part(
        sources=("coordinator/engine/*",),
        tests=(r"engine_.*test", r"log_recovery_test", r"service_test", r"grpc_test"),
        programs=(SIM, SIM_FULL),
        daemon=True),
    "cluster": Part(
        sources=("coordinator/cluster/*",),
        tests=(r"cluster_rules_test",)),
    "http": Part(
        sources=("coordinator/http/*",),
        tests=(r"http_test",)),
    "metrics": Part(
        sources=("coordinator/metrics/*",),
        tests=(r"metrics_test",)),
    "log": Part(
        sources=("coordinator/log/*",),
        tests=(r"log_(?!sqlite_(kill|power|trouble|flip)|postgresql_(lane|kill|promoted)|recovery_valgrind).*", r"engine_.*test"),
        slow=(r"log_sqlite_(power|trouble|flip)_test", r"log_postgresql_(lane|promoted)_test"),
        programs=(SIM,)),
    "transport": Part(
        sources=("coordinator/transport/*",),
        tests=(r"(transport|dispatcher)(_.*)?_test", r"engine_.*test", r"service_test", r"grpc_test", r"hostile_test", r"sdk_daemon_test", r"client_reconnect_test"),
        programs=(SIM, SIM_FULL),
        daemon=True),
    "barrier": Part(
        sources=("participant-sdk/cpp/barrier/*",) + tuple(
            f"participant-sdk/cpp/sqlite/{name}.*" for name in (
                "barrier_table", "claims", "waiting_room", "runner", "runner_local", "recorded", "questions", "store_clock")),
        tests=(r"sdk_barrier_test", r"sdk_sqlite_.*"),
        programs=(SIM,)),
}

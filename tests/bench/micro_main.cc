// The micro-benchmarks of every part: what each costs alone. Not tests; the figures are of the
// machine.
//
//   build/release/bin/assent-microbench --benchmark_filter=Apply

#include <benchmark/benchmark.h>

BENCHMARK_MAIN();

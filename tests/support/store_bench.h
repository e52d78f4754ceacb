#pragma once

// What a participant over a database server can take: branches per second (two operations each),
// one commit per operation beside groups, in turns and in one run. Every reply waits for a commit,
// so the numbers are the disk's, divided by what shares a commit.
//
//   int main(int argc, char** argv) {
//     return assent::test::StoreBench(json, [](const BenchWay& way) { return …; });
//   }

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include <assent/resource.h>
#include <assent/states.h>

namespace assent::test {

// Rows that the branches' operations change: branch i changes row i * 7919 modulo so many, so that
// branches do not meet.
inline constexpr int kBenchAccountsCount = 100'000;
// Of them are written with one statement, so that none takes as long as a server's limit.
inline constexpr int kBenchRowsAtOnceCount = 5'000;

struct BenchWay {
  const char* name;
  std::size_t group;  // operations that may share a commit
  std::size_t connections;
  Protocol protocol;
  int branches;  // of a round
};

// A store whose action `move` changes the row that its payload names; for TCC and two-phase commit.
class BenchStore {
 public:
  struct Work {
    std::uint64_t operations = 0;
    std::uint64_t groups = 0;
  };
  virtual ~BenchStore() = default;
  virtual Resource& resource() = 0;
  virtual Work Done() = 0;
};

// Measures each way in turns, and prints it; with --json as one object. The exit code of main.
int StoreBench(bool json, const std::function<std::unique_ptr<BenchStore>(const BenchWay&)>& open);

}  // namespace assent::test

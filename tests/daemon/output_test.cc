// Who says something never waits for whoever reads it.
#include "coordinator/daemon/output.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <fcntl.h>
#include <future>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace assent::daemon {
namespace {

std::string SayDropped(std::uint64_t lines) { return std::to_string(lines) + " lost\n"; }

// A descriptor to write to, of a pipe or a pair of sockets, and one to read from. Ours to close.
struct Ends {
  explicit Ends(bool sockets) {
    std::array<int, 2> both{};
    if (sockets) {
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, both.data()), 0);
    } else {
      EXPECT_EQ(::pipe(both.data()), 0);
      EXPECT_GT(::fcntl(both[1], F_SETPIPE_SZ, 4096), 0);
    }
    read = both[0];
    write = both[1];
  }
  ~Ends() {
    CloseWrite();
    ::close(read);
  }
  void CloseWrite() {
    if (write >= 0) ::close(write);
    write = -1;
  }
  std::string ReadAll() {
    std::string text;
    std::array<char, 4096> some;
    for (ssize_t size = 0; (size = ::read(read, some.data(), some.size())) > 0;)
      text.append(some.data(), static_cast<std::size_t>(size));
    return text;
  }
  int read = -1;
  int write = -1;
};

class OutputTest : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(PipeAndSocket, OutputTest, testing::Bool());

TEST_P(OutputTest, LinesComeInOrderAndTheEndWaitsForThem) {
  Ends ends(GetParam());
  auto text = std::async(std::launch::async, [&] { return ends.ReadAll(); });
  std::string expected;
  {
    Output output(ends.write, {}, SayDropped);
    for (int i = 0; i < 100; ++i) {
      output.Put("line " + std::to_string(i) + "\n");
      expected += "line " + std::to_string(i) + "\n";
    }
  }
  ends.CloseWrite();
  EXPECT_EQ(text.get(), expected);
}

// The pipe is full and stays so; the end comes all the same.
TEST_P(OutputTest, NobodyReads) {
  Ends ends(GetParam());
  const OutputOptions options{.max_queued_lines_count = 8,
                              .max_queued_line_bytes = 1'000'000,
                              .patience = std::chrono::milliseconds(10)};
  Output output(ends.write, options, SayDropped);
  const std::string large(100'000, 'x');
  for (int i = 0; i < 100; ++i) output.Put(large);
  output.Flush();
}

// What is missing is said at the place where it is missing.
TEST_P(OutputTest, WhatWasDroppedIsCountedAndSaid) {
  Ends ends(GetParam());
  const std::string large(1'000'000, 'x');
  const OutputOptions options{.max_queued_lines_count = 3, .max_queued_line_bytes = 2'000'000};
  std::string text;
  {
    Output output(ends.write, options, SayDropped);
    // It does not fit into what is behind the descriptor: the thread is busy with it from now on.
    output.Put(large);
    for (int i = 0; i < 10; ++i) output.Put("line " + std::to_string(i) + "\n");
    std::array<char, 4096> some;
    while (text.find("lost") == std::string::npos) {
      const ssize_t size = ::read(ends.read, some.data(), some.size());
      ASSERT_GT(size, 0);
      text.append(some.data(), static_cast<std::size_t>(size));
    }
    output.Put("after\n");
  }
  ends.CloseWrite();
  text += ends.ReadAll();
  const std::string small = text.substr(large.size());
  // The first is in the hands of the thread or in the queue: three or two more have room.
  EXPECT_TRUE(small == "line 0\nline 1\nline 2\n7 lost\nafter\n" ||
              small == "line 0\nline 1\n8 lost\nafter\n")
      << small;
}

TEST(OutputOfTheLog, SomebodyElsesFlagsAreLeftAlone) {
  Ends ends(false);
  const Output output(ends.write, {}, SayDropped);
  EXPECT_EQ(::fcntl(ends.write, F_GETFL) & O_NONBLOCK, 0);
}

}  // namespace
}  // namespace assent::daemon

// The helpers that tests of processes rest on: each of them is seen to work, and to say no.

#include "tests/support/process.h"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::test {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using ::testing::HasSubstr;

ProcessOptions Shell(std::string script) { return {.argv = {"/bin/sh", "-c", std::move(script)}}; }

TEST(Process, RunsToItsEnd) {
  const Finished finished = RunToEnd(Shell("echo out; echo err >&2; exit 3"), 10s);
  EXPECT_EQ(finished.exit_code, 3);
  EXPECT_EQ(finished.output, "out\nerr\n");
}

TEST(Process, IsKilledWhenItsTimeIsOver) {
  const Finished finished = RunToEnd(Shell("echo begun; sleep 60"), 100ms);
  EXPECT_EQ(finished.exit_code, std::nullopt);
  EXPECT_LT(finished.seconds, 30);
}

TEST(Process, WhatCannotBeExecutedExits127) {
  const Finished finished = RunToEnd({.argv = {"/no/such/program"}}, 10s);
  EXPECT_EQ(finished.exit_code, 127);
  EXPECT_THAT(finished.output, HasSubstr("cannot be executed"));
}

TEST(Process, GetsItsEnvironmentAndDirectory) {
  TempDir dir;
  ProcessOptions options = Shell("echo $WORD; pwd");
  options.env = {{"WORD", "spoken"}};
  options.directory = dir.path();
  EXPECT_EQ(RunToEnd(options, 10s).output, "spoken\n" + dir.path() + "\n");
}

TEST(Process, KillsAlsoWhatIsStopped) {
  Process process(Shell("echo before; kill -STOP $$; echo after; sleep 60"));
  ASSERT_TRUE(process.Start().ok());
  ASSERT_TRUE(process.WaitStopped(10s));
  EXPECT_EQ(process.Output(), "before\n");
  process.Kill();
  EXPECT_FALSE(process.Running());
  EXPECT_EQ(process.WaitForExit(0ms), 128 + SIGKILL);
}

TEST(Process, GoesOnAfterSigcont) {
  Process process(Shell("kill -STOP $$; echo after; exec sleep 60"));
  ASSERT_TRUE(process.Start().ok());
  ASSERT_TRUE(process.WaitStopped(10s));
  ASSERT_TRUE(process.Signal(SIGCONT));
  EXPECT_TRUE(process.WaitForOutput("after", 10s));
  EXPECT_EQ(process.Stop(), 128 + SIGTERM);
}

// A child was signalled between fork and exec, ran its parent's handler instead of dying, and lived
// on: a campaign called that a daemon which ignores SIGTERM.
TEST(Process, IsItselfFromTheFirstMoment) {
  const auto before = std::signal(SIGTERM, [](int) {});
  for (int i = 0; i < 50; ++i) {
    Process process({.argv = {"sleep", "60"}});
    ASSERT_TRUE(process.Start().ok());
    ASSERT_TRUE(process.Signal(SIGTERM));
    ASSERT_EQ(process.WaitForExit(10s), 128 + SIGTERM);
  }
  std::signal(SIGTERM, before);
}

// Ctrl-C goes to a terminal's whole process group: an interrupted campaign reported its own
// processes, which had heard it too, as having ended by themselves.
TEST(Process, DoesNotHearWhatATerminalSendsToItsParent) {
  Process process({.argv = {"sleep", "60"}});
  ASSERT_TRUE(process.Start().ok());
  EXPECT_EQ(getpgid(process.pid()), process.pid());
  EXPECT_NE(getpgrp(), process.pid());
}

TEST(Process, StartsAgainAndKeepsTheWholeOutput) {
  Process process(Shell("echo run $$; exec sleep 60"));
  ASSERT_TRUE(process.Start().ok());
  EXPECT_EQ(process.Start().code(), Code::kFailedPrecondition);
  ASSERT_TRUE(process.WaitForOutput("run", 10s));
  const std::string first = process.Output();
  process.Kill();
  ASSERT_TRUE(process.Start().ok());
  ASSERT_TRUE(process.WaitForOutput("run", 10s));
  EXPECT_EQ(process.Output(true), first + process.Output());
}

TEST(Process, WaitForOutputSaysNoWhenItEndsWithout) {
  Process process(Shell("echo something else"));
  ASSERT_TRUE(process.Start().ok());
  EXPECT_FALSE(process.WaitForOutput("the word", 60s));
}

TEST(Process, DiesWithItsParent) {
  // A child of ours starts a grandchild and is killed; the grandchild, whose parent death signal is
  // set, ends too.
  Process parent(
      {.argv = {std::filesystem::read_symlink("/proc/self/exe"),
                "--gtest_filter=ParentForDiesWithItsParent.*", "--gtest_also_run_disabled_tests"}});
  ASSERT_TRUE(parent.Start().ok());
  ASSERT_TRUE(parent.WaitForOutput("grandchild=", 10s)) << parent.Output();
  const std::string output = parent.Output();
  const pid_t grandchild = std::stoi(output.substr(output.find("grandchild=") + 11));
  ASSERT_EQ(kill(grandchild, 0), 0);
  parent.Kill();
  // Gone, or a zombie that nobody has reaped yet.
  const auto gone = [&] {
    return kill(grandchild, 0) != 0 ||
           RunToEnd(Shell("cat /proc/" + std::to_string(grandchild) + "/stat"), 10s)
                   .output.find(") Z ") != std::string::npos;
  };
  EXPECT_TRUE(WaitUntil(gone, 10s));
}

TEST(ParentForDiesWithItsParent, DISABLED_StartsOneAndWaits) {
  Process child(Shell("exec sleep 600"));
  ASSERT_TRUE(child.Start().ok());
  std::printf("grandchild=%d \n", child.pid());
  std::fflush(stdout);
  child.WaitForExit(600s);
}

TEST(WaitUntil, ReturnsTheConditionsLastValue) {
  int looks = 0;
  EXPECT_TRUE(WaitUntil([&] { return ++looks == 3; }, 10s));
  EXPECT_FALSE(WaitUntil([] { return false; }, 20ms));
}

TEST(FreePort, IsFree) {
  const std::uint16_t port = FreePort();
  // /proc/net/tcp lists local addresses in hex; state 0A is LISTEN.
  char listening[32];
  std::snprintf(listening, sizeof(listening), "0100007F:%04X 00000000:0000 0A", port);
  EXPECT_EQ(RunToEnd(Shell("cat /proc/net/tcp"), 10s).output.find(listening), std::string::npos);
}

TEST(TempDir, GoesAway) {
  std::string path;
  {
    TempDir dir;
    path = dir.path();
    EXPECT_TRUE(std::filesystem::is_directory(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace assent::test

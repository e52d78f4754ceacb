// The campaign in short: every kind of fault at least once, and nothing lost. And the test of the
// test: four planted faults, each of which it must notice. The long form is in docs/correctness.md,
// "Real processes".

#include <chrono>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process.h"

namespace assent::crash {
namespace {

using std::chrono::seconds;

nlohmann::json LastLine(const std::string& output) {
  const std::size_t begin = output.rfind("\n{");
  return nlohmann::json::parse(
      output.substr(
          begin == std::string::npos ? output.find('{') : begin + 1,
          output.rfind('}') - (begin == std::string::npos ? output.find('{') : begin + 1) + 1),
      nullptr, /*allow_exceptions=*/false);
}

TEST(Campaign, NothingIsLostSplitOrLeftBehind) {
  std::vector<std::string> argv{test::BinDir() + "/assent-campaign",
                                "--minutes",
                                "0.2",
                                "--round-seconds",
                                "13",
                                "--kills",
                                "20",
                                "--json"};
  if (geteuid() != 0) {
    std::printf("without a full disk: only root can mount the small file system for it\n");
    argv.insert(argv.end(), {"--without", "disk-full"});
  }
  const test::Finished run = test::RunToEnd({.argv = argv}, seconds(150));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  const nlohmann::json json = LastLine(run.output);
  ASSERT_TRUE(json.is_object()) << run.output;
  EXPECT_EQ(json["violations"], 0);
  EXPECT_GT(json["told_committed"], 20);
  EXPECT_GT(json["told_aborted"], 0);
  EXPECT_EQ(json["gets"], json["transactions"]);
  // Every kind came. Of the injected disk errors it cannot be said which finds a call to fail in so
  // short a time.
  std::vector<std::string> kinds{"two killed at once", "killed in recovery"};
  for (const char* verb : {"kill", "stop", "term"}) {
    for (const char* whom : {"coordinator", "bank", "initiator"})
      kinds.push_back(std::string(verb) + " " + whom);
  }
  for (const char* trouble : {"delay", "cut", "half-close", "black-hole", "throttle"})
    kinds.push_back(std::string("proxy ") + trouble);
  for (const std::string& kind : kinds)
    EXPECT_GT(json["by_kind"].value(kind, 0), 0) << kind << "\n" << run.output;
  EXPECT_GT(json["disk_faults"], 0);
}

// A campaign whose world is rotten in one place; it must say so, in words, with exit status 1.
struct Rotten {
  const char* plant;
  std::vector<std::string> any_of;  // what the report may say of it
};

TEST(Campaign, NoticesWhatIsPlanted) {
  const std::vector<Rotten> all{
      {"bank-loses", {"the banks hold", "and is not in force", "is split"}},
      // What it answered for and then lost: held still, or half there, by which of the two the kill
      // came after.
      {"bank-acks-early", {"still holds", "unsettled", "is split", "its ledger line says"}},
      {"initiator-lies",
       {"was told COMMITTED", "was told committed", "was told ABORTED", "was told aborted"}},
      // What nobody had been told of yet is merely forgotten, and held by the banks for good.
      {"log-restored",
       {"does not know it any more", "and is not in force", "is in force", "can never be right",
        "still holds"}},
  };
  std::vector<std::unique_ptr<test::Process>> runs;
  std::vector<std::unique_ptr<test::TempDir>> folders;
  for (const Rotten& rotten : all) {
    folders.push_back(std::make_unique<test::TempDir>());
    runs.push_back(std::make_unique<test::Process>(test::ProcessOptions{
        .argv = {test::BinDir() + "/assent-campaign", "--minutes", "0.05", "--round-seconds", "3",
                 "--kills", "12", "--rest-seconds", "3", "--without", "stop", "--without", "disk",
                 "--without", "network", "--plant", rotten.plant, "--folder",
                 folders.back()->path()}}));
    ASSERT_TRUE(runs.back()->Start().ok());
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(runs[i]->WaitForExit(seconds(120)), 1) << all[i].plant << "\n" << runs[i]->Output();
    const std::string output = runs[i]->Output();
    bool said = false;
    for (const std::string& words : all[i].any_of) said |= output.find(words) != std::string::npos;
    EXPECT_TRUE(said) << all[i].plant << "\n" << output;
    EXPECT_NE(output.find("kept: " + folders[i]->path()), std::string::npos) << output;
    EXPECT_NE(output.find("seed "), std::string::npos) << output;
  }
}

}  // namespace
}  // namespace assent::crash

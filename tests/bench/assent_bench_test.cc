// That assent-bench works, for each workload, and that nothing fails under it. No absolute times:
// the ratio to the floor is held very loosely, to notice a cliff and not a busy machine.

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/postgresql.h"
#include "tests/support/process.h"

namespace assent::test {
namespace {

nlohmann::json Bench(std::vector<std::string> words) {
  std::vector<std::string> argv{BinDir() + "/assent-bench"};
  argv.insert(argv.end(), words.begin(), words.end());
  const Finished run = RunToEnd({.argv = argv}, std::chrono::seconds(100));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  const std::size_t begin = run.output.find('{');
  return begin == std::string::npos
             ? nlohmann::json()
             : nlohmann::json::parse(run.output.substr(begin), nullptr, false);
}

class Workload : public ::testing::TestWithParam<const char*> {};

TEST_P(Workload, RunsAndNothingFails) {
  const nlohmann::json result = Bench({"run", "--workload", GetParam(), "--in-flight", "32",
                                       "--seconds", "0.5", "--warmup", "0.2", "--json"});
  ASSERT_TRUE(result.is_object()) << result;
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["committed"].get<int>(), 10) << result;
  EXPECT_LE(result["latency_us"]["p50"].get<double>(), result["latency_us"]["max"].get<double>());
  EXPECT_GT(result["processes"]["coordinator"]["cpu_us_per_transaction"].get<double>(), 0);
  if (std::string(GetParam()) == "mixed-faults") {
    EXPECT_GT(result["aborted"].get<int>(), 0) << "no refusal was seen";
  } else {
    EXPECT_EQ(result["aborted"], 0) << result;
  }
}

INSTANTIATE_TEST_SUITE_P(AssentBench, Workload,
                         ::testing::Values("tcc", "2pc", "saga", "order", "interactive", "unary",
                                           "submit", "rest", "mixed-faults"),
                         [](const auto& param) {
                           std::string name = param.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(AssentBench, TheOpenLoopKeepsItsRate) {
  const nlohmann::json result =
      Bench({"run", "--rate", "200", "--seconds", "0.8", "--warmup", "0.2", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["throughput"].get<double>(), 20);
  EXPECT_LT(result["throughput"].get<double>(), 400) << "faster than it was told to go";
}

// What both did per transaction, by name: [left, right].
std::map<std::string, std::pair<double, double>> Work(const nlohmann::json& table,
                                                      const char* left = "floor",
                                                      const char* right = "engine") {
  std::map<std::string, std::pair<double, double>> work;
  for (const auto& row : table)
    work[row.at("what")] = {row.at(left).get<double>(), row.at(right).get<double>()};
  return work;
}

TEST(AssentBench, TheFloorDoesWhatTheEngineDoesAndIsNotOutOfReach) {
  const nlohmann::json result =
      Bench({"compare", "--rounds", "1", "--seconds", "0.8", "--warmup", "0.3", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_GT(result["ratio_throughput"].get<double>(), 0.1) << result;
  EXPECT_GT(result["ratio_latency"].get<double>(), 0) << result;
  ASSERT_EQ(result["rounds"].size(), 1U);
  // Ten messages and three records: what two branches take, with or without an engine. The rest is
  // loose, for on a busy disk there may be a dozen transactions to count.
  const auto one = Work(result["work_one_in_flight"]);
  const auto many = Work(result["work"]);
  EXPECT_NEAR(one.at("messages").first, 10, 0.5) << result;
  EXPECT_NEAR(one.at("messages").second, 10, 0.5) << result;
  EXPECT_NEAR(one.at("log commits").first, one.at("log commits").second, 1) << result;
  EXPECT_NEAR(many.at("log records").first, 3, 0.5) << result;
  EXPECT_NEAR(many.at("log records").second, 3, 0.5) << result;
  for (const char* bytes : {"bytes to the log", "TCP bytes"}) {
    const auto [floor, engine] = many.at(bytes);
    EXPECT_NEAR(floor / engine, 1, 0.4) << bytes << ": " << result;
  }
}

// That there is TLS on one side and none on the other shows on the wire: a record of TLS has 22
// bytes of its own, and one transaction alone takes a dozen of them, or some on a busy machine.
TEST(AssentBench, WithMutualTlsTheSameIsDoneInMoreBytes) {
  const nlohmann::json result = Bench({"compare", "--tls", "--in-flight", "16", "--rounds", "2",
                                       "--seconds", "1.5", "--warmup", "0.3", "--json"});
  ASSERT_TRUE(result.is_object());
  ASSERT_EQ(result["rounds"].size(), 2U) << result;
  EXPECT_GT(result["ratio_throughput"].get<double>(), 0.1) << result;
  EXPECT_GT(result["ratio_latency"].get<double>(), 0) << result;
  EXPECT_GT(result["ratio_cpu"].get<double>(), 0) << result;
  EXPECT_NEAR(result["ratio_throughput"].get<double>(),
              result["tls_throughput"].get<double>() / result["plain_throughput"].get<double>(),
              0.001)
      << result;
  const auto one = Work(result["work_one_in_flight"], "plain", "tls");
  EXPECT_NEAR(one.at("messages").first, 10, 0.5) << result;
  EXPECT_NEAR(one.at("messages").second, 10, 0.5) << result;
  EXPECT_GT(one.at("TCP bytes").second, one.at("TCP bytes").first + 2 * 22) << result;
}

TEST(AssentBench, ParticipantsThatAreDialledHaveMutualTlsToo) {
  const nlohmann::json result = Bench({"run", "--tls", "--workload", "unary", "--in-flight", "16",
                                       "--seconds", "0.5", "--warmup", "0.2", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["committed"].get<int>(), 10) << result;
}

TEST(AssentBench, RestIsNotMeasuredWithTls) {
  const Finished run =
      RunToEnd({.argv = {BinDir() + "/assent-bench", "compare", "--tls", "--workload", "rest"}},
               std::chrono::seconds(20));
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_NE(run.output.find("rest is measured without TLS"), std::string::npos) << run.output;
}

TEST(AssentBench, RestHasPlainEchoForAFloor) {
  const nlohmann::json result = Bench({"floor", "--workload", "rest", "--in-flight", "16",
                                       "--seconds", "0.8", "--warmup", "0.3", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["committed"].get<int>(), 0) << result;
  EXPECT_NEAR(result["messages_per_transaction"].get<double>(), 2, 0.01) << result;
}

TEST(AssentBench, AnIdleCoordinatorWithSessionsIsMeasured) {
  const nlohmann::json result =
      Bench({"idle", "--sessions", "40", "--seconds", "1", "--warmup", "0.3", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["sessions"], 40);
  EXPECT_LT(result["core_share"].get<double>(), 0.5) << result;
}

TEST(AssentBench, HeldTransactionsAreMeasuredAndFoundAgain) {
  const nlohmann::json result = Bench({"hold", "--transactions", "2000", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["held"], 2000) << result;
  EXPECT_EQ(result["rows"], 2000) << result;
  EXPECT_GT(result["bytes_per_transaction"].get<double>(), 100) << result;
  EXPECT_GT(result["ready_seconds"].get<double>(), 0) << result;
}

// Small, and what is counted is records and rows: how long it takes is for a quiet machine to say.
TEST(AssentBench, WhoWaitsForAnAbsentParticipantCostsNothingAndIsListedOnce) {
  const nlohmann::json result =
      Bench({"absent", "--transactions", "2000", "--rounds", "1", "--seconds", "0.5", "--warmup",
             "0.2", "--rate", "100", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["waiting"], 2000) << result;
  EXPECT_EQ(result["records_while_nothing_happens"], 0) << result;
  EXPECT_EQ(result["rows"], 2000) << result;
  EXPECT_EQ(result["distinct_rows"], 2000) << result;
  EXPECT_GT(result["with_and_looked_at"]["p99_ms"].get<double>(), 0) << result;
  EXPECT_GT(result["with_and_figures"]["p99_ms"].get<double>(), 0) << result;
}

TEST(AssentBench, ARelayIsMeasuredBesideSubmittingDirectly) {
  const nlohmann::json result =
      Bench({"outbox", "--transactions", "500", "--rounds", "1", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["transactions"], 500) << result;
  EXPECT_GT(result["relayed_per_second"].get<double>(), 0) << result;
  EXPECT_GT(result["submitted_per_second"].get<double>(), 0) << result;
}

TEST(AssentBench, TheReturnOfAServiceIsMeasuredWithAndWithoutItsPolicy) {
  const nlohmann::json result =
      Bench({"ramp", "--transactions", "2000", "--rounds", "1", "--json"});
  ASSERT_TRUE(result.is_object());
  for (const char* way : {"with", "without"}) {
    EXPECT_GT(result[way]["p99_ms"].get<double>(), 0) << result;
    EXPECT_GE(result[way]["time_ratio"].get<double>(), 1) << result;
  }
}

// How long a page takes is for a quiet machine to say, as above.
TEST(AssentBench, AMetricsPageIsMeasuredBesideALoad) {
  const nlohmann::json result =
      Bench({"scrape", "--transactions", "2000", "--rounds", "1", "--seconds", "0.5", "--warmup",
             "0.2", "--rate", "100", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["in_flight"], 2000) << result;
  const nlohmann::json& page = result["page"];
  EXPECT_GE(page["count"].get<int>(), 3) << result;  // ten a second
  EXPECT_GT(page["bytes"].get<int>(), 10'000) << result;
  EXPECT_GT(page["median_ms"].get<double>(), 0) << result;
  EXPECT_GE(page["highest_ms"].get<double>(), page["median_ms"].get<double>()) << result;
  for (const char* name : {"not_scraped", "scraped"}) {
    EXPECT_GT(result[name]["p50_ms"].get<double>(), 0) << result;
    EXPECT_GE(result[name]["p99_ms"].get<double>(), result[name]["p50_ms"].get<double>()) << result;
  }
}

TEST(AssentBench, AFilledLogIsOneThatTheDaemonTakes) {
  const std::string folder = ::testing::TempDir() + "assent-bench-fill";
  std::filesystem::remove_all(folder);
  const nlohmann::json filled =
      Bench({"fill", "--transactions", "5000", "--folder", folder, "--json"});
  ASSERT_TRUE(filled.is_object());
  EXPECT_EQ(filled["retained"], 5000) << filled;
  const nlohmann::json result = Bench({"run", "--folder", folder, "--in-flight", "32", "--seconds",
                                       "0.5", "--warmup", "0.2", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["committed"].get<int>(), 10) << result;
  std::filesystem::remove_all(folder);
}

TEST(AssentBench, WhatIsTooMuchIsRefusedAndCounted) {
  const nlohmann::json result =
      Bench({"run", "--in-flight", "256", "--max-pending", "64", "--seconds", "0.7", "--warmup",
             "0.2", "--rate", "100000", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["refused"].get<int>(), 0) << result;
  EXPECT_GT(result["committed"].get<int>(), 0) << result;
}

// ---- On PostgreSQL ------------------------------------------------------------------------------

TEST(AssentBench, SeveralCoordinatorsShareALoad) {
  PostgresServer& server = PostgresServer::OfThisBinary();
  const nlohmann::json result =
      Bench({"run", "--log", server.Url("postgres"), "--coordinators", "2", "--in-flight", "32",
             "--seconds", "1", "--warmup", "0.2", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["committed"].get<int>(), 10) << result;
  EXPECT_NEAR(result["log_records_per_transaction"].get<double>(), 3, 1) << result;
  for (const char* name : {"coordinator 1", "coordinator 2", "postgresql"})
    EXPECT_GT(result["processes"][name]["cpu_seconds"].get<double>(), 0) << name << result;
}

TEST(AssentBench, OneTwoAndThreeCoordinatorsAreMeasuredInTurn) {
  PostgresServer& server = PostgresServer::OfThisBinary();
  const nlohmann::json result =
      Bench({"scale", "--log", server.Url("postgres"), "--coordinators", "3", "--in-flight", "8",
             "--rounds", "1", "--seconds", "0.5", "--warmup", "0.2", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["commit_delay_ms"], 10) << result;
  ASSERT_EQ(result["rows"].size(), 3U) << result;
  for (const nlohmann::json& row : result["rows"])
    EXPECT_GT(row["throughput"]["median"].get<double>(), 0) << result;
  // Two commits, each of which takes ten milliseconds and more.
  EXPECT_GT(result["rows"][0]["p50_ms"]["median"].get<double>(), 15) << result;
}

TEST(AssentBench, GroupsAreWrittenWithTheFenceAndWithout) {
  PostgresServer& server = PostgresServer::OfThisBinary();
  const nlohmann::json result = Bench(
      {"append", "--log", server.Url("postgres"), "--rounds", "1", "--seconds", "0.2", "--json"});
  ASSERT_TRUE(result.is_object());
  ASSERT_EQ(result["groups"].size(), 3U) << result;
  for (const nlohmann::json& group : result["groups"])
    EXPECT_GT(group["fenced_per_second"].get<double>(), 0) << result;
}

TEST(AssentBench, WithoutASharedLogThereIsOneCoordinator) {
  const Finished run =
      RunToEnd({.argv = {BinDir() + "/assent-bench", "run", "--coordinators", "2"}},
               std::chrono::seconds(20));
  EXPECT_EQ(run.exit_code, 2) << run.output;
}

}  // namespace
}  // namespace assent::test

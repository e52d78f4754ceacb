// kill -9 of the coordinator and of the participants, at random, under load; then the books.
//
// Three banks as processes, each with its own file; initiators that move money between them under
// all protocols and remember every answer they were given. When the killing stops, everything must
// come to rest by itself, and then: the total is what it was, nothing is frozen, prepared or
// locked, no branch is half-done, every transaction happened wholly or not at all, and every answer
// ever given is true.
//
// Short form: 200 kills. Longer: ASSENT_CRASH_KILLS=2000. The seed is printed; ASSENT_CRASH_SEED
// repeats the choices (not the timing, which is the machine's).

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <assent/client.h>
#include <assent/thread_safety.h>

#include "tests/crash/bank.h"
#include "tests/crash/unfinished.h"
#include "tests/support/process.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kBanks = 3;
constexpr int kInitiators = 8;

long FromEnvironment(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtol(value, nullptr, 10);
}

// What one initiator knows of one transaction.
struct Told {
  Outcome outcome = Outcome::kUndecided;              // kUndecided: no answer came
  std::vector<std::pair<std::string, int>> branches;  // id, bank
};

class Initiators {
 public:
  Initiators(std::string endpoint, unsigned seed) : endpoint_(std::move(endpoint)) {
    for (unsigned i = 0; i < kInitiators; ++i)
      threads_.emplace_back([this, s = seed + i] { Run(s); });
  }
  ~Initiators() { Stop(); }
  void Stop() {
    stopping_ = true;
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  long answered() const { return answered_; }
  const std::map<std::string, Told>& told() const { return told_; }

 private:
  static Transaction Draw(std::mt19937& random, Told& told) {
    Transaction txn;
    txn.Deadline(seconds(3));
    const int amount = 1 + static_cast<int>(random() % 20);
    const bool overdraw = random() % 10 == 0;
    const int from = static_cast<int>(random() % kBanks);
    const int to = (from + 1 + static_cast<int>(random() % (kBanks - 1))) % kBanks;
    const unsigned protocol = random() % 4;  // 3: mixed
    const auto add = [&](int bank, std::int64_t delta) {
      const unsigned p = protocol == 3 ? random() % 3 : protocol;
      const std::string id = std::to_string(told.branches.size() + 1);
      const std::string service = "bank" + std::to_string(bank);
      const std::string payload = Movement(static_cast<int>(random() % kAccountsCount), delta);
      const BranchOptions options{
          .id = id,
          .retry = {.initial_backoff = milliseconds(5), .max_backoff = milliseconds(100)},
          .attempt_timeout = milliseconds(1000)};
      told.branches.emplace_back(id, bank);
      if (p == 0) txn.Tcc(service, "move", payload, options);
      if (p == 1) txn.Saga(service, "move", payload, options);
      if (p == 2) txn.TwoPhase(service, "move", payload, options);
    };
    if (random() % 8 == 0) {  // one branch alone: the one-phase path, and its like
      add(from, 0);
      return txn;
    }
    add(from, overdraw ? -1'000'000 : -amount);
    if (random() % 3 == 0) {
      const std::int64_t half = amount / 2;
      add(to, half);
      add((to + 1) % kBanks, (overdraw ? 1'000'000 : amount) - half);
    } else {
      add(to, overdraw ? 1'000'000 : amount);
    }
    return txn;
  }

  void Run(unsigned seed) {
    std::mt19937 random(seed);
    const Client client({.endpoint = endpoint_, .retry = {.give_up_after = milliseconds(300)}});
    while (!stopping_) {
      Told told;
      const Transaction txn = Draw(random, told);
      // Some give up after one try, as initiators do that crash; the others insist on an answer.
      const int tries = random() % 4 == 0 ? 1 : 30;
      for (int i = 0; i < tries && told.outcome == Outcome::kUndecided; ++i) {
        const auto report = client.Submit(txn, {.timeout = milliseconds(500)});
        if (report.ok()) told.outcome = report->outcome;
      }
      if (told.outcome != Outcome::kUndecided) ++answered_;
      const MutexLock lock(mutex_);
      told_.emplace(txn.gid(), std::move(told));
    }
  }

  const std::string endpoint_;
  std::atomic<bool> stopping_ = false;
  std::atomic<long> answered_ = 0;
  Mutex mutex_;
  std::map<std::string, Told> told_ ASSENT_GUARDED_BY(mutex_);  // until Stop
  std::vector<std::thread> threads_;
};

class Crash : public ::testing::Test {
 protected:
  void SetUp() override {
    endpoint_ = "127.0.0.1:" + std::to_string(test::FreePort());
    coordinator_ = std::make_unique<test::Process>(test::ProcessOptions{
        .argv = {test::BinDir() + "/assentd", "--http-listen", "none", "--listen", endpoint_,
                 "--data", dir_ / "coordinator", "--reserve-mib", "0"}});
    for (int i = 0; i < kBanks; ++i) {
      banks_.push_back(std::make_unique<test::Process>(
          test::ProcessOptions{.argv = {test::BinDir() + "/crash-bank", "bank" + std::to_string(i),
                                        BankFile(i), endpoint_}}));
    }
    StartCoordinator();
    for (auto& bank : banks_) ASSERT_TRUE(bank->Start().ok());
  }

  std::string BankFile(int i) { return dir_ / ("bank" + std::to_string(i) + ".db"); }
  void StartCoordinator() {
    ASSERT_TRUE(coordinator_->Start().ok());
    ASSERT_TRUE(coordinator_->WaitForOutput("listening", seconds(20))) << coordinator_->Output();
  }

  // Ends everybody once nothing is under way, and looks whether any money is lost or held.
  void ComeToRest() {
    const bool at_rest =
        test::WaitUntil([this] { return Unfinished(endpoint_) == 0; }, seconds(60));
    if (!at_rest) {
      const test::Finished list = test::RunToEnd(
          {.argv = {test::BinDir() + "/assentctl", "--endpoint", endpoint_, "list", "-o", "wide"}},
          seconds(20));
      FAIL() << "not at rest after a minute:\n" << list.output;
    }
    for (auto& bank : banks_) {
      EXPECT_TRUE(bank->Running()) << bank->Output();
      EXPECT_EQ(bank->Stop(), 0) << bank->Output();
    }
    EXPECT_EQ(coordinator_->Stop(), 0) << coordinator_->Output();

    std::int64_t total = 0;
    for (int i = 0; i < kBanks; ++i) {
      const Books books = ReadBooks(BankFile(i));
      total += books.balance + books.frozen;
      EXPECT_EQ(books.frozen, 0) << "bank " << i;
      EXPECT_EQ(books.prepared, 0) << "bank " << i;
      EXPECT_EQ(books.locks, 0) << "bank " << i;
      EXPECT_EQ(Unsettled(BankFile(i)), 0) << "bank " << i;
    }
    EXPECT_EQ(total, kBanks * kAccountsCount * kOpeningBalance);
  }

  test::TempDir dir_;
  std::string endpoint_;
  std::unique_ptr<test::Process> coordinator_;
  std::vector<std::unique_ptr<test::Process>> banks_;
};

TEST_F(Crash, TheBooksBalanceWhoeverIsKilled) {
  const long kills = FromEnvironment("ASSENT_CRASH_KILLS", 200);
  const auto seed = static_cast<unsigned>(
      FromEnvironment("ASSENT_CRASH_SEED", static_cast<long>(std::random_device{}() >> 1)));
  std::printf("seed %u, %ld kills\n", seed, kills);
  std::mt19937 random(seed);
  Initiators initiators(endpoint_, seed);
  long coordinator_kills = 0;
  for (long i = 0; i < kills; ++i) {
    // Under load: the next kill comes after some more transactions were answered, at a moment that
    // is nobody's choice.
    const long enough = initiators.answered() + 1 + static_cast<long>(random() % 30);
    (void)test::WaitUntil([&] { return initiators.answered() >= enough; }, seconds(3));
    if (random() % 2 == 0) {
      coordinator_->Kill();
      StartCoordinator();
      ++coordinator_kills;
    } else {
      test::Process& bank = *banks_[random() % kBanks];
      ASSERT_TRUE(bank.Running()) << "a bank ended by itself:\n" << bank.Output();
      bank.Kill();
      ASSERT_TRUE(bank.Start().ok());
    }
  }
  initiators.Stop();
  ASSERT_NO_FATAL_FAILURE(ComeToRest());

  std::map<Outcome, long> answers;
  for (const auto& [gid, told] : initiators.told()) {
    ++answers[told.outcome];
    std::size_t done = 0;
    for (const auto& [id, bank] : told.branches)
      done += LedgerState(BankFile(bank), gid, id) == "done" ? 1 : 0;
    EXPECT_TRUE(done == 0 || done == told.branches.size())
        << gid << ": " << done << " of " << told.branches.size() << " branches took effect";
    if (told.outcome == Outcome::kCommitted) {
      EXPECT_EQ(done, told.branches.size()) << gid << " was told COMMITTED";
    } else if (told.outcome == Outcome::kAborted) {
      EXPECT_EQ(done, 0U) << gid << " was told ABORTED";
    } else {
      EXPECT_EQ(told.outcome, Outcome::kUndecided) << gid;
    }
  }
  std::printf(
      "%zu transactions: %ld told committed, %ld told aborted, %ld not told; %ld of %ld kills were "
      "of the coordinator\n",
      initiators.told().size(), answers[Outcome::kCommitted], answers[Outcome::kAborted],
      answers[Outcome::kUndecided], coordinator_kills, kills);
  EXPECT_GT(answers[Outcome::kCommitted], kills / 4)
      << "too little went through for the test to mean much";
  EXPECT_GT(answers[Outcome::kAborted], 0);
}

}  // namespace
}  // namespace assent::crash

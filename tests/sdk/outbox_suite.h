#pragma once

// One suite over the outbox of every database: publish, and a relay that hands over to a
// coordinator made of a map.
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, OutboxSuite, ::testing::Values(&MakeSqliteHarness));

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <assent/outbox.h>
#include <assent/thread_safety.h>

namespace assent::test {

// One database with an empty table.
class OutboxHarness {
 public:
  virtual ~OutboxHarness() = default;
  virtual std::unique_ptr<OutboxTable> Table() = 0;
  // In a local transaction of the user's own connection, which then ends like that.
  enum class End : std::uint8_t { kCommit, kRollback, kNone };  // kNone: none was begun
  virtual Status Publish(const Transaction& transaction, const PublishOptions& options, End end,
                         const OutboxOptions& outbox) = 0;
  // One statement, committed; the first column of its first row.
  virtual std::string Sql(const std::string& sql) = 0;
  // Locks the table for everybody until the result goes.
  virtual std::shared_ptr<void> Lock() = 0;

  Status Publish(const Transaction& transaction, const std::string& key = {}) {
    return Publish(transaction, {.ordering_key = key}, End::kCommit, {});
  }
  std::string Rows() { return Sql("SELECT count(*) FROM assent_outbox"); }
};
using MakeHarness = std::unique_ptr<OutboxHarness> (*)();

// A coordinator: it makes each gid once, and says what it is told to say.
class MapCoordinator final : public Connection {
 public:
  using Hook = std::function<Result<Report>(const SubmitEncodedParams& params)>;
  // Before the answer; called without a lock. Empty: every transaction is complete at once.
  explicit MapCoordinator(Hook hook = {}) : hook_(std::move(hook)) {}

  void SubmitEncodedAsync(SubmitEncodedParams params, ReportCallback done) override;
  Result<TransactionInfo> Get(const GetParams& params) override;
  Result<Report> Submit(const SubmitParams&) override { return Nothing(); }
  void SubmitAsync(SubmitParams, ReportCallback done) override { done(Nothing()); }
  Status Begin(const BeginParams&) override { return Nothing(); }
  Result<BranchResult> Execute(const ExecuteParams&) override { return Nothing(); }
  Result<Report> Finish(const FinishParams&) override { return Nothing(); }
  Result<Report> Wait(const WaitParams&) override { return Nothing(); }

  // Gids in the order in which they were first accepted, and how often each was submitted.
  std::vector<std::string> accepted() const;
  std::map<std::string, int> submits() const;

 private:
  static Status Nothing() { return Internal("not asked for here"); }
  const Hook hook_;
  mutable Mutex mutex_;
  std::vector<std::string> order_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::string, std::string> bytes_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::string, int> submits_ ASSENT_GUARDED_BY(mutex_);
};

// Looks again and again, for half a minute.
bool Until(const std::function<bool()>& condition);

class OutboxSuite : public ::testing::TestWithParam<MakeHarness> {
 protected:
  OutboxHarness& database() { return *database_; }
  std::unique_ptr<Relay> StartRelay(std::shared_ptr<Connection> coordinator,
                                    RelayOptions options = {});
  bool UntilEmpty() {
    return Until([this] { return database_->Rows() == "0"; });
  }
  std::vector<std::string> lines() const;

 private:
  struct Lines {
    Mutex mutex;
    std::vector<std::string> all ASSENT_GUARDED_BY(mutex);
  };
  std::unique_ptr<OutboxHarness> database_ = GetParam()();
  std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
};

Transaction Order(const std::string& gid, std::string payload = "payload");

}  // namespace assent::test

#pragma once

// One suite over messages without an outbox in every database: Enlist in a user's own local
// transaction, and what the store answers when it is asked.
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, CheckBackSuite, ::testing::Values(&MakeSqliteCheckBack));

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <assent/resource.h>
#include <assent/status.h>
#include <assent/transaction.h>

namespace assent::test {

// One database with a store whose Saga action "placed" is CheckBack, with a patience of 10 s.
class CheckBackHarness {
 public:
  virtual ~CheckBackHarness();  // beside the suite, so that whoever has one links the other
  virtual Resource& store() = 0;
  // On the user's own connection.
  virtual bool Run(const char* sql) = 0;
  virtual Status Enlist(const Transaction& message) = 0;
  // Begins a local transaction that writes.
  virtual bool Begin() { return Run("BEGIN"); }
};
using MakeCheckBack = std::unique_ptr<CheckBackHarness> (*)();

class CheckBackSuite : public ::testing::TestWithParam<MakeCheckBack> {
 protected:
  CheckBackHarness& database() { return *database_; }
  // A message of `gid`, and what its store says when it is asked so long after Prepare.
  static Transaction Message(const std::string& gid);
  Reply Ask(const std::string& gid, std::chrono::milliseconds after);
  // In a local transaction that ends with `how`.
  Status EnlistAnd(const char* how, const std::string& gid);

 private:
  const std::unique_ptr<CheckBackHarness> database_ = GetParam()();
};

}  // namespace assent::test

#pragma once

// Automatic Saga steps whose payload is the SQL that they run.

#include <string>
#include <utility>
#include <vector>

#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {

class AutoSagaFixture : public StoreTest {
 protected:
  AutoSagaFixture() = default;
  explicit AutoSagaFixture(MariaServer& server) : StoreTest(server) {}

  // The tables of `setup`, of which these are to be undone.
  Options With(const std::string& setup, std::vector<std::string> undo_tables);
  void OpenWith(const std::string& setup, std::vector<std::string> undo_tables) {
    OpenWith(With(setup, std::move(undo_tables)));
  }
  void OpenWith(Options options);
  // Runs statements that are separated by "; "; "refuse" as the last is a no, "throw" an exception,
  // "try " before one runs it by TryExec.
  Reply Act(const std::string& gid, const std::string& sql) {
    return Ask(store(), ActionOf(gid, sql));
  }
  Reply Compensate(const std::string& gid) {
    return Ask(store(), Branch{gid, "b1", Protocol::kSaga, "sql"}.To(Operation::kCompensate));
  }
  static Call ActionOf(const std::string& gid, const std::string& sql) {
    return Branch{gid, "b1", Protocol::kSaga, "sql", sql}.To(Operation::kAction);
  }
  // Refused for this; and nothing of it is left.
  void ExpectRefused(const std::string& sql, const std::string& why);
  // What Open says of a table that it does not take, behind its name.
  std::string WhyNot(const std::string& table);
  // The rows of a table: "(a,1) (b,NULL)".
  std::string Rows(const std::string& columns, const std::string& table);

 private:
  int refused_ = 0;
};

}  // namespace assent::mariadb::test

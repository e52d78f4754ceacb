#pragma once

// Automatic Saga steps whose payload is the SQL that they run.

#include <string>
#include <vector>

#include "tests/sdk_postgresql/store_fixture.h"

namespace assent::postgresql::test {

class AutoSagaFixture : public StoreTest {
 protected:
  // The tables of `setup`, of which these are to be undone.
  Options With(const std::string& setup, std::vector<std::string> undo_tables);
  void OpenWith(const std::string& setup, std::vector<std::string> undo_tables) {
    OpenWith(With(setup, std::move(undo_tables)));
  }
  void OpenWith(Options options);
  // Runs statements that are separated by "; "; "refuse" as the last is a no, "try " before one
  // runs it by TryExec.
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
  // What the rows of this query look like, in a line each.
  std::string Lines(const std::string& query) {
    return Sql("SELECT coalesce(string_agg(one::text, ' ' ORDER BY one::text), '') FROM (" + query +
               ") one");
  }

 private:
  int refused_ = 0;
};

}  // namespace assent::postgresql::test

#pragma once

// Two-phase branches whose payload is the SQL that they run, one statement after another, separated
// by "; ". The word `refuse` as the last one makes the handler refuse.

#include <string>

#include "tests/sdk_sqlite/store_fixture.h"

namespace assent::sqlite::test {

// Runs the payload's statements.
Reply RunPayload(Db& db, const Call& call);

struct Extra {
  bool one_phase = false;
  std::string branch_id = "b1";
};

class TwoPhaseFixture : public StoreTest {
 protected:
  // Registers "sql" as two-phase, TCC (the same statements in try; confirm and cancel do nothing)
  // and automatic Saga.
  Store& OpenSql(std::string setup_sql) {
    return Open(MakeOptions(std::move(setup_sql)), &RegisterSql);
  }
  static void RegisterSql(Store& store);

  Call PrepareCall(const std::string& gid, const std::string& sql,
                   const Extra& extra = Extra()) const;
  Reply Prepare(const std::string& gid, const std::string& sql, const Extra& extra = Extra());
  Reply Commit(const std::string& gid, const std::string& branch_id = "b1");
  Reply Rollback(const std::string& gid, const std::string& branch_id = "b1");
  Reply Try(const std::string& gid, const std::string& sql);
  // An automatic Saga step and its compensation.
  Reply Act(const std::string& gid, const std::string& sql);
  Reply Compensate(const std::string& gid);
  // Store::Local with the statements.
  Status Local(const std::string& sql,
               std::chrono::milliseconds wait = std::chrono::milliseconds(0));
};

}  // namespace assent::sqlite::test

#pragma once

// A store over a fresh file, asked synchronously, with a second connection that plays "somebody
// behind the SDK's back".

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/sqlite.h>

#include "tests/support/process.h"

struct sqlite3;

namespace assent::sqlite::test {

// A connection of somebody else.
class Outsider {
 public:
  explicit Outsider(const std::string& path);
  ~Outsider();
  Outsider(const Outsider&) = delete;
  Outsider& operator=(const Outsider&) = delete;
  // Runs statements; returns the first column of the first row as text, "NULL", or "" when there is
  // none. A failure is returned as "error: …".
  std::string Run(const std::string& sql);

 private:
  sqlite3* db_ = nullptr;
};

// Calls of one branch.
struct Branch {
  std::string gid = "g1";
  std::string branch_id = "b1";
  Protocol protocol = Protocol::kTcc;
  std::string action = "act";
  std::string payload = {};

  Call To(Operation operation) const;
};

// Asks and waits for the answer; nullopt when the store dropped the responder uncalled.
std::optional<Reply> TryAsk(Store& store, Call call);
// The same, where an answer is certain.
Reply Ask(Store& store, Call call);
// Asks all at once, so that they may share groups; answers in the order of the calls.
std::vector<Reply> AskAll(Store& store, std::vector<Call> calls);

class StoreTest : public ::testing::Test {
 protected:
  std::string path() const { return dir_.path() + "/service.db"; }
  // Options with the test's setup script, clock and path.
  Options MakeOptions(std::string setup_sql);
  // Opens (again) with these; registers with `configure`.
  Store& Open(Options options, const std::function<void(Store&)>& configure);
  Store& Open(std::string setup_sql, const std::function<void(Store&)>& configure) {
    return Open(MakeOptions(std::move(setup_sql)), configure);
  }
  void Close() { store_.reset(); }
  Store& store() { return *store_; }
  // The first column of the first row, as committed, or "" and "NULL" as in Outsider::Run.
  std::string Sql(const std::string& sql) { return Outsider(path()).Run(sql); }
  Stats Inspect() { return *store_->Inspect(); }

  std::int64_t now_ms_ = 1'000'000'000;

 private:
  assent::test::TempDir dir_;
  std::unique_ptr<Store> store_;
};

}  // namespace assent::sqlite::test

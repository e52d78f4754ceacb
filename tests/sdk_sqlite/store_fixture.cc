#include "tests/sdk_sqlite/store_fixture.h"

#include <sqlite3.h>

namespace assent::sqlite::test {

Outsider::Outsider(const std::string& path) {
  EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
  sqlite3_busy_timeout(db_, 5000);
}

Outsider::~Outsider() { sqlite3_close(db_); }

std::string Outsider::Run(const std::string& sql) {
  struct First {
    bool has = false;
    std::string text;
  } first;
  char* error = nullptr;
  const auto on_row = [](void* out, int columns, char** values, char**) {
    auto& into = *static_cast<First*>(out);
    if (!into.has && columns > 0) into = {true, values[0] == nullptr ? "NULL" : values[0]};
    return 0;
  };
  if (sqlite3_exec(db_, sql.c_str(), on_row, &first, &error) != SQLITE_OK) {
    std::string text = std::string("error: ") + (error == nullptr ? "?" : error);
    sqlite3_free(error);
    return text;
  }
  return first.text;
}

Call Branch::To(Operation operation) const {
  Call call;
  call.gid = gid;
  call.branch_id = branch_id;
  call.operation = operation;
  call.protocol = protocol;
  call.service = "service";
  call.action = action;
  call.payload = payload;
  call.coordinator_id = 7;
  call.began_epoch = 3;
  return call;
}

std::optional<Reply> TryAsk(Store& store, Call call) {
  auto promise = std::make_shared<std::promise<Reply>>();
  std::future<Reply> future = promise->get_future();
  store.Execute(std::move(call), [promise](Reply reply) { promise->set_value(std::move(reply)); });
  promise.reset();  // the responder holds the only one: dropping it breaks the promise
  try {
    return future.get();
  } catch (const std::future_error&) {
    return std::nullopt;
  }
}

Reply Ask(Store& store, Call call) {
  std::optional<Reply> reply = TryAsk(store, std::move(call));
  EXPECT_TRUE(reply.has_value()) << "the responder was dropped";
  return reply.value_or(Reply());
}

std::vector<Reply> AskAll(Store& store, std::vector<Call> calls) {
  std::vector<std::future<Reply>> futures;
  for (Call& call : calls) {
    auto promise = std::make_shared<std::promise<Reply>>();
    futures.push_back(promise->get_future());
    store.Execute(std::move(call),
                  [promise](Reply reply) { promise->set_value(std::move(reply)); });
  }
  std::vector<Reply> replies;
  for (auto& future : futures) replies.push_back(future.get());
  return replies;
}

Options StoreTest::MakeOptions(std::string setup_sql) {
  Options options;
  options.path = path();
  options.setup = [sql = std::move(setup_sql)](Db& db) { db.ExecScript(sql); };
  options.steady_ms = [this] { return now_ms_; };
  options.claim_wait = std::chrono::milliseconds(0);  // answered at once; see waiting_test.cc
  options.max_group_time =
      std::chrono::seconds(60);  // groups by count alone, however slow the machine
  return options;
}

Store& StoreTest::Open(Options options, const std::function<void(Store&)>& configure) {
  store_.reset();
  Result<std::unique_ptr<Store>> opened = Store::Open(std::move(options));
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  store_ = std::move(*opened);
  configure(*store_);
  return *store_;
}

}  // namespace assent::sqlite::test

#include "tests/sdk_mariadb/store_fixture.h"

#include <future>

namespace assent::mariadb::test {

Call Branch::To(Operation operation) const {
  Call call;
  call.gid = gid;
  call.branch_id = branch_id;
  call.operation = operation;
  call.protocol = protocol;
  call.service = "service";
  call.action = action;
  call.payload = payload;
  call.coordinator_id = coordinator_id;
  call.began_epoch = 3;
  call.began_unix_ms = began_unix_ms;
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

Reply Insist(Store& store, const Call& call) {
  Reply known = Reply::RetryLater("no answer");
  const auto is_known = [&] {
    const std::optional<Reply> reply = TryAsk(store, call);
    if (reply) known = *reply;
    return reply && reply->kind != Reply::Kind::kRetryLater;
  };
  EXPECT_TRUE(assent::test::WaitUntil(is_known, std::chrono::seconds(30))) << known.reason;
  return known;
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

namespace {

struct Move {
  int id = 1;
  int amount = 1;
};

Move MoveOf(const Call& call) {
  const std::size_t blank = call.payload.find(' ');
  if (blank == std::string::npos) return {};
  return {std::stoi(call.payload.substr(0, blank)), std::stoi(call.payload.substr(blank + 1))};
}

// The amount is given as often as the statement has it before the id.
DbHandler Running(const char* sql, int amounts) {
  return [sql, amounts](Db& db, const Call& call) {
    const Move move = MoveOf(call);
    std::int64_t rows = 0;
    if (amounts == 1) rows = db.Exec(sql, move.amount, move.id);
    if (amounts == 2) rows = db.Exec(sql, move.amount, move.amount, move.id);
    if (amounts == 3) rows = db.Exec(sql, move.amount, move.amount, move.id, move.amount);
    return rows == 1 ? Reply::Done("moved " + call.payload) : Reply::Refused("not enough");
  };
}

}  // namespace

void RegisterAccounts(Store& store) {
  const auto add = [](Db& db, const Call& call) {
    const Move move = MoveOf(call);
    return db.Exec("UPDATE account SET free = free + ? WHERE id = ? AND free + ? >= 0", move.amount,
                   move.id, move.amount) == 1
               ? Reply::Done("moved " + call.payload)
               : Reply::Refused("not enough");
  };
  store.Saga("act", {.action = add,
                     .compensate = Running("UPDATE account SET free = free - ? WHERE id = ?", 1)});
  store.TwoPhase("act", add);
  // Taking sets aside at try; giving shows at confirm.
  store.Tcc("act", {.try_ = Running("UPDATE account SET free = free + least(?, 0), held = held - "
                                    "least(?, 0) WHERE id = ? AND free + least(?, 0) >= 0",
                                    3),
                    .confirm = Running("UPDATE account SET free = free + greatest(?, 0), held = "
                                       "held + least(?, 0) WHERE id = ?",
                                       2),
                    .cancel = Running("UPDATE account SET free = free - least(?, 0), held = held + "
                                      "least(?, 0) WHERE id = ?",
                                      2)});
}

Options StoreTest::MakeOptions() {
  Options options;
  options.server = server_.Address(database_);
  options.setup = [](Db& db) { db.ExecScript(kMakeAccounts); };
  options.now_ms = [this] { return now_ms_; };
  options.max_group_time = std::chrono::seconds(60);  // groups by count alone
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

Store& StoreTest::OpenAccounts(Options options) {
  return Open(std::move(options), RegisterAccounts);
}

}  // namespace assent::mariadb::test

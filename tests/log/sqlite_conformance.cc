#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/conformance.h"

namespace assent::log {
namespace {

class SqliteRig final : public LogRig {
 public:
  LogClient Open(const Limits& limits) override {
    Result<std::unique_ptr<SqliteLog>> log =
        SqliteLog::Open({.path = folder_.File("assent.db"),
                         .reserve_bytes = 0,
                         .max_queued_entries = limits.max_queued_entries,
                         .unix_now_ms = [] { return std::int64_t{2000}; }});  // rows end at 1000
    ASSENT_CHECK(log.ok());
    return LogClient(*std::move(log));
  }

  // Holds the log's thread inside a callback.
  void Pause(LogClient& client) override {
    release_ = std::promise<void>();
    std::promise<void> held;
    client.log().Find("nobody", [&held, released = release_.get_future().share()](auto) {
      held.set_value();
      released.wait();
    });
    held.get_future().wait();
  }
  void Resume(LogClient&) override { release_.set_value(); }

 private:
  TempFolder folder_;
  std::promise<void> release_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, LogConformance,
                         testing::Values(RigFactory{"File",
                                                    [] { return std::make_unique<SqliteRig>(); }}),
                         [](const auto& rig) { return rig.param.name; });

}  // namespace
}  // namespace assent::log

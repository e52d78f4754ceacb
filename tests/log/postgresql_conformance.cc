#include <future>
#include <memory>
#include <utility>

#include "coordinator/log/postgresql/postgres_log.h"
#include "coordinator/log/queued_log.h"
#include "tests/log/conformance.h"
#include "tests/log/postgresql_member.h"

namespace assent::log {
namespace {

// The store through one lane, or the whole log of a member that is alone.
class PostgresRig final : public LogRig {
 public:
  explicit PostgresRig(bool whole) : whole_(whole) {}

  LogClient Open(const Limits& limits) override {
    const QueuedLogOptions queue{.max_queued_entries = limits.max_queued_entries};
    if (!whole_) return LogClient(std::make_unique<ThreadedLog>(log_.Open(), queue));
    PostgresLogOptions options;
    options.connection.url = log_.url();
    options.node = "alone";
    options.queue = queue;
    return LogClient(std::make_unique<PostgresLog>(std::move(options)));
  }
  bool shared() const override { return true; }

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
  const bool whole_;
  PostgresTestLog log_{test::PostgresServer::OfThisBinary()};
  std::promise<void> release_;
};

INSTANTIATE_TEST_SUITE_P(
    Postgresql, LogConformance,
    testing::Values(RigFactory{"Lane", [] { return std::make_unique<PostgresRig>(false); }},
                    RigFactory{"Log", [] { return std::make_unique<PostgresRig>(true); }}),
    [](const auto& rig) { return rig.param.name; });

}  // namespace
}  // namespace assent::log

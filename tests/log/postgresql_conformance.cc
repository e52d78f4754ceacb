#include <future>
#include <memory>
#include <utility>

#include "coordinator/log/queued_log.h"
#include "tests/log/conformance.h"
#include "tests/log/postgresql_member.h"

namespace assent::log {
namespace {

class PostgresRig final : public LogRig {
 public:
  LogClient Open(const Limits& limits) override {
    return LogClient(std::make_unique<ThreadedLog>(
        log_.Open(), QueuedLogOptions{.max_queued_entries = limits.max_queued_entries}));
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
  PostgresTestLog log_{test::PostgresServer::OfThisBinary()};
  std::promise<void> release_;
};

INSTANTIATE_TEST_SUITE_P(Postgresql, LogConformance,
                         testing::Values(RigFactory{
                             "Server", [] { return std::make_unique<PostgresRig>(); }}),
                         [](const auto& rig) { return rig.param.name; });

}  // namespace
}  // namespace assent::log

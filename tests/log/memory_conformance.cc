#include "coordinator/log/memory/memory_log.h"
#include "tests/log/conformance.h"

namespace assent::log {
namespace {

class MemoryRig final : public LogRig {
 public:
  explicit MemoryRig(bool inline_completion) : inline_completion_(inline_completion) {}

  LogClient Open(const Limits& limits) override {
    auto log = std::make_unique<MemoryLog>(
        disk_,
        MemoryLogOptions{.inline_completion = inline_completion_ && limits.max_queued_entries > 100,
                         .max_queued_entries = limits.max_queued_entries});
    MemoryLog* pumped = log.get();
    return LogClient(std::move(log), [pumped] {
      while (pumped->Step()) {
      }
    });
  }
  // Nothing moves unless someone waits.
  void Pause(LogClient&) override {}
  void Resume(LogClient&) override {}

 private:
  bool inline_completion_;
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
};

INSTANTIATE_TEST_SUITE_P(
    Memory, LogConformance,
    testing::Values(RigFactory{"Inline", [] { return std::make_unique<MemoryRig>(true); }},
                    RigFactory{"Stepped", [] { return std::make_unique<MemoryRig>(false); }}),
    [](const auto& rig) { return rig.param.name; });

}  // namespace
}  // namespace assent::log

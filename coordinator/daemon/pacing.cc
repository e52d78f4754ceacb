#include "coordinator/daemon/pacing.h"

#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/base/read_file.h"
#include "coordinator/base/thread_name.h"
#include "coordinator/daemon/logging.h"
#include "coordinator/traffic/policy_file.h"

namespace assent::daemon {

Result<std::shared_ptr<const traffic::Policies>> ReadServicePolicies(const Config& config) {
  if (config.service_policies.empty()) return std::make_shared<const traffic::Policies>();
  const auto text = base::ReadAtMost(config.service_policies, traffic::kMaxPolicyFileBytes);
  if (!text.ok()) {
    return InvalidArgument("service-policies is " + config.service_policies + ": " +
                           text.status().message());
  }
  auto read = traffic::ReadPolicies(*text, config.service_policies);
  if (!read.ok()) return read.status();
  return std::make_shared<const traffic::Policies>(*std::move(read));
}

Pacing::Pacing(transport::Switchboard& board, const transport::Clock& clock,
               std::shared_ptr<const traffic::Policies> policies)
    : board_(board), clock_(clock), alarm_(std::make_shared<Alarm>()) {
  board_.SetAlarm([alarm = alarm_](core::MonoTime at) {
    const MutexLock lock(alarm->mutex);
    alarm->at = at;
    alarm->rings.NotifyOne();
  });
  board_.SetPolicies(std::move(policies));
  thread_ = std::thread([this] { Run(); });
}

Pacing::~Pacing() {
  {
    const MutexLock lock(alarm_->mutex);
    alarm_->stopped = true;
    alarm_->rings.NotifyOne();
  }
  thread_.join();
}

Status Pacing::Reload(const Config& config) {
  if (config.service_policies.empty()) return OkStatus();
  auto read = ReadServicePolicies(config);
  if (!read.ok()) {
    constexpr std::size_t kMaxBytes = 400;
    spdlog::error("event=policies_reload_failed error=\"{}\" hint=\"those of before stay\"",
                  OneLine(read.status().message(), kMaxBytes));
    return read.status();
  }
  spdlog::info("event=policies_reloaded file={} services={}", config.service_policies,
               (*read)->by_service.size());
  board_.SetPolicies(*std::move(read));
  return OkStatus();
}

void Pacing::Run() {
  base::NameThisThread("assent-pace");
  while (true) {
    {
      const MutexLock lock(alarm_->mutex);
      while (!alarm_->stopped && clock_.Mono() < alarm_->at) {
        if (alarm_->at == core::kNever) {
          alarm_->rings.Wait(alarm_->mutex);
        } else {
          (void)alarm_->rings.WaitUntil(alarm_->mutex, alarm_->at);
        }
      }
      if (alarm_->stopped) return;
      alarm_->at = core::kNever;
    }
    board_.Tick();
  }
}

}  // namespace assent::daemon

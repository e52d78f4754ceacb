#include "coordinator/daemon/webhook.h"

#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/core/describe.h"
#include "coordinator/daemon/config_checks.h"
#include "coordinator/daemon/logging.h"
#include "coordinator/daemon/version.h"
#include "coordinator/post/target.h"

namespace assent::daemon {
namespace {

using engine::Alarm;

const char* KindOf(Alarm alarm) {
  switch (alarm) {
    case Alarm::kNone: break;
    case Alarm::kStuck: return "stuck";
    case Alarm::kHazard: return "hazard";
    case Alarm::kHeld: return "held";
    case Alarm::kEndedMixed: return "ended_mixed";
    case Alarm::kEndedHazard: return "ended_hazard";
  }
  return "";
}

bool Concerns(Alarm alarm, const core::Transaction& txn, const core::Branch& branch) {
  if (alarm != Alarm::kEndedMixed && alarm != Alarm::kEndedHazard) return branch.needs_operator;
  const bool other = branch.resolved != core::Decision::kNone && branch.resolved != txn.decision();
  return other || branch.hazard;
}

std::string Why(Alarm alarm, const core::Transaction& txn, const core::Now& now) {
  const std::string decision(Name(txn.decision()));
  if (alarm == Alarm::kEndedMixed)
    return "ended MIXED: decided " + decision + ", and not all branches have followed";
  if (alarm == Alarm::kEndedHazard)
    return "ended HAZARD: decided " + decision + ", and a participant says otherwise";
  return core::WhyNotFinished(txn, now);
}

webhook::Event EventOf(Alarm alarm, const core::Transaction& txn, const core::Now& now) {
  webhook::Event event;
  event.kind = KindOf(alarm);
  event.gid = txn.gid();
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const core::BranchSpec& spec = txn.spec().branches[i];
    if (Concerns(alarm, txn, txn.branches()[i]))
      event.branches.push_back({spec.id, spec.service, spec.action});
  }
  event.why = Why(alarm, txn, now);
  event.unix_ms = now.wall.time_since_epoch().count();
  if (!txn.interventions().empty())
    event.since = std::to_string(txn.interventions().back().at.time_since_epoch().count());
  return event;
}

constexpr std::size_t kMaxSaidBytes = 600;

// What a receiver shows of itself is anything.
void Log(webhook::Trouble trouble, const std::string& words) {
  const std::string said = OneLine(words, kMaxSaidBytes);
  switch (trouble) {
    case webhook::Trouble::kNone: return spdlog::info("event=webhook_back");
    case webhook::Trouble::kAway:
      return spdlog::warn(
          "event=webhook_away error=\"{}\" hint=\"what needs a person is tried again for an hour; "
          "assentctl list has it\"",
          said);
    case webhook::Trouble::kFull:
      return spdlog::warn(
          "event=webhook_full waiting={} hint=\"what comes is dropped, and counted; assentctl list "
          "has it\"",
          said);
    case webhook::Trouble::kGivenUp:
      return spdlog::warn(
          "event=webhook_given_up gid={} hint=\"and perhaps more, which are counted; assentctl "
          "list has it\"",
          said);
  }
}

}  // namespace

Result<std::unique_ptr<webhook::Sender>> OpenWebhook(const Config& config,
                                                     const Certificates& certificates) {
  if (config.webhook_url.empty()) return std::unique_ptr<webhook::Sender>();
  auto target = post::ParseUrl(config.webhook_url);
  if (!target.ok()) return target.status();
  auto secret = webhook::ReadSecret(config.webhook_secret_file);
  if (!secret.ok()) {
    return InvalidArgument("webhook-secret-file is " + config.webhook_secret_file + ": " +
                           secret.status().message());
  }
  webhook::SenderOptions options;
  options.target = std::move(target).value();
  options.dialling = certificates.OfWebhook();
  options.secret = std::move(secret).value();
  options.agent = std::string("assentd/") + kVersion;
  options.on_trouble = Log;
  return std::make_unique<webhook::Sender>(std::move(options));
}

void WarnOfWebhook(const Config& config) {
  if (!IsInTheClear(config.webhook_url)) return;
  spdlog::warn(
      "event=webhook_exposed url={} hint=\"what is told is signed, and whoever is on the way can "
      "read it: gids, services, and why; an https:// address\"",
      config.webhook_url);
}

webhook::Teller TellerOf(const Config& config, std::uint64_t log_id, const std::string& http) {
  return {.coordinator = std::to_string(log_id),
          .node = config.Place().shared() ? config.NodeName() : "",
          .console = http};
}

decltype(engine::ShardOptions::on_alarm) AlarmsTo(webhook::Sender* sender) {
  if (sender == nullptr) return {};
  return [sender](Alarm alarm, const core::Transaction& txn, const core::Now& now) {
    sender->Tell([&] { return EventOf(alarm, txn, now); });
  };
}

void CloseWebhook(webhook::Sender& sender) {
  const std::size_t left = sender.Close();
  if (left == 0) return;
  spdlog::warn(
      "event=webhook_left events={} hint=\"of what still needs a person the next start tells "
      "again\"",
      left);
}

}  // namespace assent::daemon

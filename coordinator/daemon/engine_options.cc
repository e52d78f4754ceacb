#include "coordinator/daemon/engine_options.h"

#include <cstdint>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/base/clock.h"
#include "coordinator/daemon/webhook.h"
#include "coordinator/log/log.h"

namespace assent::daemon {

engine::EngineOptions EngineOptions(const Config& config, webhook::Sender* webhook,
                                    tracing::Exporter* tracing) {
  engine::EngineOptions options;
  options.shards_count = config.shards;
  options.shard.max_live_count = config.max_transactions / config.shards + 1;
  options.shard.max_live_bytes = (config.max_payload_mib << 20) / config.shards;
  options.shard.on_set_aside = [](const std::string& sentence) {
    spdlog::error(
        "event=set_aside what=\"{}\" hint=\"everything else goes on; keep the files, and "
        "report it\"",
        sentence);
  };
  options.on_damaged_slot = [](const log::DamagedSlot& damaged) {
    spdlog::error(
        "event=slot_set_aside slot={} what=\"{}\" hint=\"all others are served; keep the database, "
        "and report it\"",
        damaged.slot, damaged.why);
  };
  options.shard.seed = static_cast<std::uint64_t>(base::WallNow().time_since_epoch().count());
  options.on_waiting = [](const std::string& service, bool waits) {
    if (waits) {
      spdlog::warn("event=waiting service={} hint=\"transactions wait until it appears\"", service);
    } else {
      spdlog::info("event=waiting_over service={}", service);
    }
  };
  options.shard.on_alarm = AlarmsTo(webhook);
  options.shard.trace_sample_ratio = config.trace_sample_ratio;
  if (tracing != nullptr)
    options.shard.on_span = [tracing](tracing::Span&& span) { tracing->Offer(std::move(span)); };
  return options;
}

}  // namespace assent::daemon

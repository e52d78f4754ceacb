// The relay as a process: its log, its metrics, its end.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <assent/text.h>

#include "tools/assent-relay/commands.h"
#include "tools/assent-relay/database.h"
#include "tools/assent-relay/metrics.h"

namespace assent::relay {
namespace {

// A line as assentd writes it.
class Message final : public spdlog::custom_flag_formatter {
 public:
  explicit Message(bool json) : json_(json) {}
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& line) override {
    const std::string shown =
        EscapeUnseen({message.payload.data(), message.payload.size()}, /*keep_line_feeds=*/false);
    if (json_) line.push_back('"');
    for (const char c : shown) {
      if (json_ && (c == '"' || c == '\\')) line.push_back('\\');
      line.push_back(c);
    }
    if (json_) line.push_back('"');
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<Message>(json_);
  }

 private:
  const bool json_;
};

void SetUpLog(bool json) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<Message>('J', json);
  formatter->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%J})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %-5l %J");
  auto logger = std::make_shared<spdlog::logger>("assent-relay",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::move(formatter));
  spdlog::set_default_logger(std::move(logger));
}

spdlog::level::level_enum LevelOf(std::string_view line) {
  if (line.starts_with("event=outbox_parked")) return spdlog::level::err;
  const bool trouble =
      line.find("_fails ") != std::string_view::npos || line.starts_with("event=outbox_behind");
  return trouble ? spdlog::level::warn : spdlog::level::info;
}

int WaitForStop() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

}  // namespace

Exit Run(const std::string& database, const RunCommand& command) {
  SetUpLog(command.json_log);
  const auto fail = [](const Status& status) {
    std::fprintf(stderr, "assent-relay: %s\n",
                 EscapeUnseen(status.message(), /*keep_line_feeds=*/false).c_str());
    return ExitFor(status.code());
  };
  auto table = OpenTable(database);
  if (!table.ok()) return fail(table.status());
  // What no waiting mends is said at once.
  const auto first = (*table)->Count(1);
  if (!first.ok() && first.status().code() != Code::kUnavailable) return fail(first.status());
  RelayOptions options = command.relay;
  options.log = [](const std::string& line) { spdlog::log(LevelOf(line), "{}", line); };
  Relay relay(Client(command.client), std::move(*table), options);
  std::unique_ptr<MetricsPort> port;
  if (!command.metrics_listen.empty()) {
    auto listening = MetricsPort::Listen(command.metrics_listen,
                                         [&relay] { return MetricsText(relay.Stats()); });
    if (!listening.ok()) return fail(listening.status());
    port = std::move(*listening);
    spdlog::info("event=metrics port={}", port->port());
  }
  const int signal = WaitForStop();
  spdlog::info("event=stopping signal={} hint=\"a second signal stops at once\"", signal);
  // What was told stays as it is told: rows, and nothing else, are durable.
  std::thread impatience([] {
    WaitForStop();
    _exit(static_cast<int>(Exit::kDone));
  });
  impatience.detach();  // tidy: allow(detach) it ends with the process
  port.reset();
  relay.Stop();
  return Exit::kDone;
}

}  // namespace assent::relay

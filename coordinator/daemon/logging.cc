#include "coordinator/daemon/logging.h"

#include <string_view>
#include <utility>

#include <grpc/support/log.h>
#include <nlohmann/json.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace assent::daemon {
namespace {

// The message as a JSON string. Bytes that are not UTF-8 become the replacement character.
class JsonMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& line) override {
    const nlohmann::json text(std::string(message.payload.data(), message.payload.size()));
    const std::string quoted = text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    line.append(quoted.data(), quoted.data() + quoted.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

void LogOfGrpc(gpr_log_func_args* args) {
  const std::string_view said = args->message;
  // An address that cannot be listened on ends the start with a sentence of ours.
  const bool told_by_us = said.find("No address added") != std::string_view::npos;
  const bool error = args->severity == GPR_LOG_SEVERITY_ERROR && !told_by_us;
  spdlog::log(error ? spdlog::level::warn : spdlog::level::debug, "event=grpc said=\"{}\"", said);
}

}  // namespace

std::unique_ptr<spdlog::formatter> LogFormatter(bool json) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<JsonMessage>('J');
  formatter->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%J})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %^%-5l%$ %v");
  return formatter;
}

Logging::Logging(const std::string& level, bool json) {
  auto logger = spdlog::stderr_color_mt("assentd");
  logger->set_formatter(LogFormatter(json));
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(LogOfGrpc);
}

// gRPC's threads may outlive main, and the logger does not.
Logging::~Logging() { gpr_set_log_function(nullptr); }

}  // namespace assent::daemon

#include "coordinator/daemon/logging.h"

#include <algorithm>
#include <mutex>
#include <unistd.h>
#include <utility>

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <nlohmann/json.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <assent/text.h>

#include "coordinator/daemon/output.h"

namespace assent::daemon {
namespace {

// The message, as a JSON string or as text. It holds words of peers: within a line nothing moves
// the cursor, turns the direction or feigns a line. In JSON, bytes that are not UTF-8 become the
// replacement character.
class Message : public spdlog::custom_flag_formatter {
 public:
  explicit Message(bool json) : json_(json) {}
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& line) override {
    std::string text(message.payload.data(), message.payload.size());
    if (json_)
      text = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const std::string shown = EscapeUnseen(text, /*keep_line_feeds=*/false);
    line.append(shown.data(), shown.data() + shown.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<Message>(json_);
  }

 private:
  const bool json_;
};

// Formats on the thread that speaks, and leaves the writing to the Output.
using LockedSink = spdlog::sinks::base_sink<std::mutex>;  // tidy: allow(mutex) spdlog takes it
class OutputSink final : public LockedSink {
 public:
  OutputSink(std::shared_ptr<Output> output, bool colours)
      : output_(std::move(output)), colours_(colours) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string text(line.data(), line.size());
    if (colours_ && message.color_range_end > message.color_range_start) {
      text.insert(message.color_range_end, "\033[m");
      text.insert(message.color_range_start, ColourOf(message.level));
    }
    output_->Put(text);
  }
  void flush_() override { output_->Flush(); }

 private:
  static const char* ColourOf(spdlog::level::level_enum level) {
    if (level >= spdlog::level::err) return "\033[31m";
    return level == spdlog::level::warn ? "\033[33m" : "\033[32m";
  }

  const std::shared_ptr<Output> output_;
  const bool colours_;
};

// The line that says what is missing, as the others look.
std::string DroppedLine(bool json, std::uint64_t dropped) {
  const std::string said = "event=log_dropped lines=" + std::to_string(dropped) +
                           " hint=\"whoever reads this log was too slow, or not there\"";
  spdlog::memory_buf_t line;
  LogFormatter(json)->format(spdlog::details::log_msg("assentd", spdlog::level::warn, said), line);
  return {line.data(), line.size()};
}

// What libraries say, from any thread, also after main has ended.
constexpr LibraryLogLimits kLibraryLimits;
constinit LibraryLogMeter library_meter{kLibraryLimits};

void SayLeftOut(spdlog::level::level_enum level, std::uint64_t lines) {
  if (lines > 0) spdlog::log(level, "event=library_lines_left_out lines={}", lines);
}

void LogOfLibrary(const char* library, spdlog::level::level_enum level, std::string_view said) {
  if (!spdlog::should_log(level)) return;
  std::uint64_t left_out = 0;
  if (!library_meter.Admit(std::chrono::steady_clock::now(), left_out)) return;
  SayLeftOut(level, left_out);
  spdlog::log(level, "event={} said=\"{}\"", library,
              OneLine(said, kLibraryLimits.max_library_line_bytes));
}

void LogOfGrpc(gpr_log_func_args* args) {
  const bool error = args->severity == GPR_LOG_SEVERITY_ERROR;
  LogOfLibrary("grpc", error ? spdlog::level::warn : spdlog::level::debug, args->message);
}

void LogOfProtobuf(google::protobuf::LogLevel level, const char* /*file*/, int /*line*/,
                   const std::string& said) {
  const bool error = level >= google::protobuf::LOGLEVEL_ERROR;
  LogOfLibrary("protobuf", error ? spdlog::level::warn : spdlog::level::debug, said);
}

}  // namespace

bool LibraryLogMeter::Admit(std::chrono::steady_clock::time_point now, std::uint64_t& left_out) {
  const MutexLock lock(mutex_);
  const double seconds = std::chrono::duration<double>(now - filled_at_).count();
  filled_at_ = now;
  room_ = std::min(room_ + seconds * static_cast<double>(limits_.max_lines_per_second_count),
                   static_cast<double>(limits_.max_burst_lines_count));
  if (room_ < 1) {
    ++left_out_;
    return false;
  }
  room_ -= 1;
  left_out = std::exchange(left_out_, 0);
  return true;
}

std::uint64_t LibraryLogMeter::TakeLeftOut() {
  const MutexLock lock(mutex_);
  return std::exchange(left_out_, 0);
}

std::string OneLine(std::string_view said, std::size_t max_bytes) {
  std::string line(said.substr(0, max_bytes));
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = ' ';
    if (c == '"') c = '\'';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return said.size() > max_bytes ? line + "…" : line;
}

std::unique_ptr<spdlog::formatter> LogFormatter(bool json) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<Message>('J', json);
  formatter->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%J})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %^%-5l%$ %J");
  return formatter;
}

Logging::Logging(const std::string& level, bool json)
    : output_(std::make_shared<Output>(
          STDERR_FILENO, OutputOptions{},
          [json](std::uint64_t dropped) { return DroppedLine(json, dropped); })) {
  auto sink = std::make_shared<OutputSink>(output_, !json && ::isatty(STDERR_FILENO) == 1);
  auto logger = std::make_shared<spdlog::logger>("assentd", std::move(sink));
  logger->set_formatter(LogFormatter(json));
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::critical);  // the process may end next
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(LogOfGrpc);
  google::protobuf::SetLogHandler(LogOfProtobuf);
}

// gRPC's threads may outlive main: what they say now goes nowhere.
Logging::~Logging() {
  Tick();
  gpr_set_log_function([](gpr_log_func_args*) {});
  google::protobuf::SetLogHandler(nullptr);
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("ended", std::make_shared<spdlog::sinks::null_sink_mt>()));
}

void Logging::Tick() { SayLeftOut(spdlog::level::warn, library_meter.TakeLeftOut()); }

void Logging::Say(const std::string& text) { output_->Put(text + "\n"); }

}  // namespace assent::daemon

#include "coordinator/daemon/tracing.h"

#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/daemon/config_checks.h"
#include "coordinator/daemon/logging.h"
#include "coordinator/daemon/version.h"
#include "coordinator/post/target.h"

namespace assent::daemon {
namespace {

using tracing::TracingTrouble;

constexpr std::size_t kMaxSaidBytes = 600;

// A collector may say again what was said to it: the values of its headers are secrets.
std::string Masked(std::string said, const tracing::Headers& headers) {
  for (const auto& [name, value] : headers) {
    for (std::size_t at = 0; !value.empty() && (at = said.find(value, at)) != std::string::npos;)
      said.replace(at, value.size(), "***");
  }
  return said;
}

// What a collector says is anything.
void Log(TracingTrouble trouble, const std::string& said) {
  const std::string words = OneLine(said, kMaxSaidBytes);
  switch (trouble) {
    case TracingTrouble::kNone: return spdlog::info("event=tracing_back");
    case TracingTrouble::kAway:
      return spdlog::warn(
          "event=tracing_away error=\"{}\" hint=\"spans are tried again for five minutes\"", words);
    case TracingTrouble::kFull:
      return spdlog::warn(
          "event=tracing_full waiting={} hint=\"spans that come are dropped, and counted\"", words);
    case TracingTrouble::kGaveUp:
      return spdlog::warn(
          "event=tracing_gave_up spans={} hint=\"and perhaps more, which are counted\"", words);
    case TracingTrouble::kRejected:
      return spdlog::warn(
          "event=tracing_rejected error=\"{}\" hint=\"the collector does not take them: they are "
          "dropped, and counted\"",
          words);
    case TracingTrouble::kRemark: return spdlog::warn("event=tracing_remark said=\"{}\"", words);
  }
}

}  // namespace

Result<std::unique_ptr<tracing::Exporter>> OpenTracing(const Config& config,
                                                       const Certificates& certificates) {
  if (config.trace_endpoint.empty()) return std::unique_ptr<tracing::Exporter>();
  auto target = post::ParseUrl(config.trace_endpoint);
  if (!target.ok()) return target.status();
  tracing::ExporterOptions options;
  options.target = std::move(target).value();
  options.dialling = certificates.OfTracing();
  if (options.target.path == "/") options.target.path = "/v1/traces";
  if (!config.trace_headers_file.empty()) {
    auto headers = tracing::ReadHeaders(config.trace_headers_file);
    if (!headers.ok()) {
      return InvalidArgument("trace-headers-file is " + config.trace_headers_file + ": " +
                             headers.status().message());
    }
    options.headers = std::move(headers).value();
  }
  options.agent = std::string("assentd/") + kVersion;
  options.on_trouble = [headers = options.headers](TracingTrouble trouble,
                                                   const std::string& said) {
    Log(trouble, Masked(said, headers));
  };
  return std::make_unique<tracing::Exporter>(std::move(options));
}

void WarnOfTracing(const Config& config) {
  if (!IsInTheClear(config.trace_endpoint)) return;
  const bool headers = !config.trace_headers_file.empty();
  spdlog::warn(
      "event=tracing_exposed url={} hint=\"whoever is on the way can read the spans{}: an https:// "
      "address\"",
      config.trace_endpoint, headers ? ", and the headers of --trace-headers-file" : "");
}

// Of several that share a log each is another.
tracing::Resource ResourceOf(const Config& config, std::uint64_t log_id) {
  const std::string node = config.Place().shared() ? "/" + config.NodeName() : "";
  return {.service = config.trace_service_name,
          .instance = std::to_string(log_id) + node,
          .version = kVersion};
}

void CloseTracing(tracing::Exporter& exporter) {
  const std::size_t left = exporter.Close();
  if (left > 0) spdlog::warn("event=tracing_left spans={} hint=\"they are lost\"", left);
}

}  // namespace assent::daemon

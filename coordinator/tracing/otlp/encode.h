#pragma once

// Spans as OTLP has them in binary, and what a collector answers.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/tracing/otlp/fit.h"

namespace assent::tracing {

inline constexpr const char* kContentType = "application/x-protobuf";

// Whose spans they are.
struct Resource {
  std::string service;   // service.name
  std::string instance;  // service.instance.id: another one for each that runs at the same time
  std::string version;   // service.version
};

// An ExportTraceServiceRequest. Text that is no UTF-8 is mended.
std::string Encode(const Resource& resource, const std::vector<FittedSpan>& spans);

// Of a request that was taken: what the collector has left out of it all the same, and its words.
struct Remark {
  std::size_t rejected = 0;
  std::string said{};  // one line or several, as the collector wrote it, in UTF-8
};
// Whatever is no such answer has no remark.
Remark ReadRemark(std::string_view body);
// Of a request that was refused: its words, or none.
std::string ReadRefusal(std::string_view body);

}  // namespace assent::tracing

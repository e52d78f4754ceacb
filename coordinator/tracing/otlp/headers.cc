#include "coordinator/tracing/otlp/headers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "coordinator/base/pair_lines.h"
#include "coordinator/base/read_file.h"

namespace assent::tracing {
namespace {

// Of the request itself.
constexpr std::array<std::string_view, 9> kOwn = {
    "connection", "content-encoding", "content-length",   "content-type", "expect", "host",
    "te",         "trailer",          "transfer-encoding"};

bool IsName(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](unsigned char c) {
    return (c < 128 && std::isalnum(c) != 0) ||
           kMarks.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool IsOwn(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kOwn.begin(), kOwn.end(), lower) != kOwn.end();
}

bool IsValue(std::string_view value) {
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c == '\t' || (c >= ' ' && c < 127); });
}

}  // namespace

Result<Headers> ParseHeaders(std::string_view text) {
  constexpr std::string_view kForm = "\"Name: value\"";
  Headers headers;
  const auto take = [&](std::string_view name, std::string_view value) -> std::string {
    if (!IsName(name)) return "is no " + std::string(kForm);
    if (IsOwn(name)) return "has a name that is the request's own";
    if (!IsValue(value)) return "has a value with other than printable ASCII";
    if (headers.size() == kMaxHeadersCount)
      return "is one too many: there may be " + std::to_string(kMaxHeadersCount);
    headers.emplace_back(name, value);
    return "";
  };
  const Status parsed = base::ForPairLines(text, kForm, take);
  if (!parsed.ok()) return parsed;
  return headers;
}

Result<Headers> ReadHeaders(const std::string& file) {
  const Result<std::string> text = base::ReadAtMost(file, kMaxHeadersFileBytes);
  if (!text.ok()) return text.status();
  if (text->size() <= kMaxHeadersFileBytes) return ParseHeaders(*text);
  return InvalidArgument("it has more than " + std::to_string(kMaxHeadersFileBytes) + " bytes");
}

}  // namespace assent::tracing

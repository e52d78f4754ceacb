#include "coordinator/tracing/otlp/headers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

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

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

Result<Headers> ParseHeaders(std::string_view text) {
  Headers headers;
  for (int number = 1; !text.empty(); ++number) {
    const auto wrong = [number](const std::string& what) {
      return InvalidArgument("line " + std::to_string(number) + " " + what);
    };
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsName(line.substr(0, colon)))
      return wrong("is no \"Name: value\"");
    if (IsOwn(line.substr(0, colon))) return wrong("has a name that is the request's own");
    const std::string_view value = Trimmed(line.substr(colon + 1));
    if (!IsValue(value)) return wrong("has a value with other than printable ASCII");
    if (headers.size() == kMaxHeadersCount)
      return wrong("is one too many: there may be " + std::to_string(kMaxHeadersCount));
    headers.emplace_back(line.substr(0, colon), value);
  }
  return headers;
}

Result<Headers> ReadHeaders(const std::string& file) {
  const Result<std::string> text = base::ReadAtMost(file, kMaxHeadersFileBytes);
  if (!text.ok()) return text.status();
  if (text->size() <= kMaxHeadersFileBytes) return ParseHeaders(*text);
  return InvalidArgument("it has more than " + std::to_string(kMaxHeadersFileBytes) + " bytes");
}

}  // namespace assent::tracing

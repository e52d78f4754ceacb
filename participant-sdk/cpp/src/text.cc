#include "participant-sdk/cpp/src/text.h"

#include <cstddef>
#include <string>
#include <string_view>

#include <assent/name.h>
#include <assent/status.h>
#include <assent/text.h>

namespace assent::internal {
namespace {

std::string Allowed(NameRule rule) {
  return "1 to " + std::to_string(rule.max_bytes) + " of " + std::string(rule.allowed());
}

}  // namespace

Status CheckName(std::string_view field, std::string_view name, NameRule rule) {
  switch (FaultOf(name, rule)) {
    case NameFault::kNone: return OkStatus();
    case NameFault::kEmpty:
      return InvalidArgument(std::string(field) + " is empty; it must be " + Allowed(rule));
    case NameFault::kTooLong:
      return InvalidArgument(std::string(field) + " has " + std::to_string(name.size()) +
                             " bytes; it must be " + Allowed(rule));
    case NameFault::kCharacter: break;
  }
  return InvalidArgument(std::string(field) + " '" + CleanText(name, rule.max_bytes) +
                         "' holds a character that is not allowed; it must be " + Allowed(rule));
}

std::string OneLine(std::string_view text, std::size_t max_bytes) {
  std::string line = CleanText(text, max_bytes);
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte < 0x20 || byte == 0x7f) line[i] = '?';
    // U+0080 to U+009F are controls too, of two bytes.
    const bool c1 = byte == 0xc2 && static_cast<unsigned char>(line[i + 1]) < 0xa0;
    if (c1) line.replace(i, 2, "?");
  }
  return line;
}

}  // namespace assent::internal

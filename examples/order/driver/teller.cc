#include "examples/order/driver/teller.h"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace demo {
namespace {

constexpr const char* kBold = "\033[1m";
constexpr const char* kGreen = "\033[32m";
constexpr const char* kRed = "\033[1;31m";
constexpr std::string_view kIndent = "    ";
constexpr std::size_t kColumns = 118;

// Breaks between words, so that a line has at most kColumns.
void Line(std::string_view indent, std::string_view text) {
  while (indent.size() + text.size() > kColumns) {
    const std::size_t space = text.rfind(' ', kColumns - indent.size());
    if (space == std::string_view::npos || space == 0) break;
    std::printf("%.*s%.*s\n", static_cast<int>(indent.size()), indent.data(),
                static_cast<int>(space), text.data());
    text.remove_prefix(space + 1);
  }
  std::printf("%.*s%.*s\n", static_cast<int>(indent.size()), indent.data(),
              static_cast<int>(text.size()), text.data());
  std::fflush(stdout);
}

}  // namespace

Teller::Teller() {
  const char* no_colour = std::getenv("NO_COLOR");
  colour_ = isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0');
}

std::string Teller::Paint(const char* code, std::string_view text) const {
  if (!colour_) return std::string(text);
  return code + std::string(text) + "\033[0m";
}

void Teller::Chapter(std::string_view title) {
  Line("", "");
  Line("", Paint(kBold, title));
}

void Teller::Begin(std::string_view name, std::string_view title) {
  Line("  ", Paint(kBold, name) + "  " + std::string(title));
}

void Teller::Say(std::string_view sentence) { Line(kIndent, sentence); }
void Teller::Good(std::string_view verdict) { Line(kIndent, Paint(kGreen, verdict)); }
void Teller::Bad(std::string_view verdict) { Line(kIndent, Paint(kRed, verdict)); }

void Teller::Print(std::string_view text) {
  std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(stdout);
}

}  // namespace demo

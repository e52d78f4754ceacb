// Words, durations, and answers of the golden scenarios' language.

#include <charconv>
#include <stdexcept>
#include <utility>

#include "tests/core/script.h"

namespace assent::core::testing {
namespace {

constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
    {"ms", 1000}, {"us", 1}, {"min", 60'000'000}, {"s", 1'000'000}, {"h", 3'600'000'000}};

}  // namespace

std::string Line::Value(std::string_view key) const {
  for (const std::string& word : words) {
    if (word.size() > key.size() && word.compare(0, key.size(), key) == 0 &&
        word[key.size()] == '=')
      return word.substr(key.size() + 1);
  }
  return {};
}

bool Line::Has(std::string_view word) const {
  for (const std::string& other : words) {
    if (other == word) return true;
  }
  return false;
}

Line ParseLine(std::string_view line) {
  Line parsed;
  std::size_t at = 0;
  while (at < line.size()) {
    if (line[at] == ' ') {
      ++at;
    } else if (line[at] == '"') {
      const std::size_t end = line.find('"', at + 1);
      if (end == std::string_view::npos) throw std::runtime_error("a quote is not closed");
      parsed.text = line.substr(at + 1, end - at - 1);
      parsed.has_text = true;
      at = end + 1;
    } else {
      const std::size_t end = std::min(line.find(' ', at), line.size());
      parsed.words.emplace_back(line.substr(at, end - at));
      at = end;
    }
  }
  return parsed;
}

Micros ParseDuration(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc()) {
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    for (const auto& [name, micros] : kUnits) {
      if (unit == name) return Micros(number * micros);
    }
  }
  throw std::runtime_error("not a duration: " + std::string(text));
}

std::string ShowDuration(Micros duration) {
  const std::int64_t micros = duration.count();
  if (micros % 1'000'000 == 0) return std::to_string(micros / 1'000'000) + "s";
  if (micros % 1000 == 0) return std::to_string(micros / 1000) + "ms";
  return std::to_string(micros) + "us";
}

}  // namespace assent::core::testing

#include "participant-sdk/cpp/postgresql/row_text.h"

#include <optional>
#include <string>
#include <utility>

namespace assent::postgresql::internal {
namespace {

// Reads one field from the front of `text`, up to its comma. Nothing between two commas is NULL;
// an empty text is "". In quotes, a quote or backslash stands for itself when it comes twice.
bool ReadField(std::string_view& text, std::optional<std::string>& field) {
  bool quoted = false;
  while (!text.empty() && (quoted || text.front() != ',')) {
    if (!field) field.emplace();
    const char c = text.front();
    text.remove_prefix(1);
    const bool again = !text.empty() && text.front() == c;
    if (c == '"' && !(quoted && again)) {
      quoted = !quoted;
      continue;
    }
    if (c == '\\' && text.empty()) return false;
    if (c == '\\' || c == '"') {
      field->push_back(text.front());
      text.remove_prefix(1);
    } else {
      field->push_back(c);
    }
  }
  return !quoted;
}

}  // namespace

Result<Fields> ParseRow(std::string_view text) {
  const auto damaged = [] { return DataLoss("the image of a row is damaged"); };
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return damaged();
  text = text.substr(1, text.size() - 2);
  Fields fields;
  for (;;) {
    std::optional<std::string> field;
    if (!ReadField(text, field)) return damaged();
    fields.push_back(std::move(field));
    if (text.empty()) return fields;
    text.remove_prefix(1);
  }
}

}  // namespace assent::postgresql::internal

#include <cctype>
#include <string_view>

#include "tools/assentctl/json_out.h"

namespace assent::ctl {
namespace {

// Whether a plain (unquoted) scalar would come back as this same string. Deliberately narrow: what
// starts with a letter and holds only characters without a meaning in YAML, and is none of its
// words.
bool IsPlain(std::string_view text) {
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text.front())) == 0) return false;
  if (text.back() == ' ') return false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) == 0 && std::string_view("_-./ ()").find(c) == std::string_view::npos) {
      return false;
    }
  }
  std::string lower;
  for (const char c : text) {
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const std::string_view word :
       {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (lower == word) return false;
  }
  return true;
}

// A JSON string is also a double-quoted YAML scalar.
std::string Scalar(const Json& json) {
  if (json.is_string() && IsPlain(json.get_ref<const std::string&>())) {
    return json.get<std::string>();
  }
  return json::Dump(json, -1);
}

std::string Key(const std::string& key) { return Scalar(Json(key)); }

// Appends `json`, whose lines after the first start at `indent`; `fresh`: the cursor stands at the
// right place of a line of its own already (after "- ").
void Append(const Json& json, std::size_t indent, bool fresh, std::string& text) {
  const std::string margin(indent, ' ');
  if (json.is_object() && !json.empty()) {
    if (!fresh) text += "\n";
    bool first = fresh;
    for (const auto& [key, value] : json.items()) {
      text += first ? "" : margin;
      first = false;
      text += Key(key) + ":";
      const bool nested = value.is_structured() && !value.empty();
      if (!nested) text += " ";
      Append(value, indent + 2, false, text);
    }
  } else if (json.is_array() && !json.empty()) {
    if (!fresh) text += "\n";
    bool first = fresh;
    for (const auto& value : json) {
      text += (first ? "" : margin) + "- ";
      first = false;
      Append(value, indent + 2, true, text);
    }
  } else {
    text += (json.is_object() ? "{}" : json.is_array() ? "[]" : Scalar(json)) + "\n";
  }
}

}  // namespace

std::string Yaml(const Json& json) {
  std::string text;
  Append(json, 0, true, text);
  return text;
}

}  // namespace assent::ctl

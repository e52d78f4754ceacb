#include "proto/toml/read_toml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <string_view>
#include <utility>

#include <assent/text.h>

// The whole reader is compiled here, and nowhere else.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace assent {
namespace {

std::string Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  return std::string(text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin));
}

// The line that has set this name already, in the section in which `before` ends; 0: none.
std::size_t LineOf(const std::string& name, const std::string& before) {
  const toml::parse_result parsed = toml::parse(before);
  const toml::parse_result alone = toml::parse(name + " = 0");
  if (!parsed || !alone) return 0;
  const toml::table* section = &parsed.table();
  for (const auto& [key, node] : parsed.table()) {
    const toml::table* table = node.as_table();
    const bool later = section == &parsed.table() || section->source().begin < node.source().begin;
    if (table != nullptr && !table->is_inline() && later) section = table;
  }
  const auto first = section->find(alone.table().begin()->first.str());
  return first == section->end() ? 0 : first->first.source().begin.line;
}

// What people forget is the quotes, of a text: `listen = 127.0.0.1:7400`; and what they have set.
std::string HintOn(const std::string& text, std::size_t line) {
  std::istringstream lines(text);
  std::string before;
  std::string said;
  for (std::size_t i = 0; i < line; ++i) {
    if (i > 0) before += said + "\n";
    std::getline(lines, said);
  }
  said.resize(std::min(said.find('#'), said.size()));
  const std::size_t equals = said.find('=');
  if (equals == std::string::npos) return "";
  const std::string name = Trimmed(said.substr(0, equals));
  const std::string value = Trimmed(said.substr(equals + 1));
  if (const std::size_t first = LineOf(name, before); first > 0)
    return name + " is set twice: line " + std::to_string(first) + " has set it already";
  const std::string quoted = name + " = \"" + value + "\"";
  if (value.empty() || toml::parse(name + " = " + value) || !toml::parse(quoted)) return "";
  return value + " is no number, nor true or false. A text stands in quotes: " + quoted;
}

// TOML lets a text have escapes; of controls nobody has a use.
bool HasControl(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(Utf8Length(text), 1);
    const char32_t c = CodePoint(text, length);
    if ((c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0)) return true;
    text.remove_prefix(length);
  }
  return false;
}

TomlKind KindOf(const toml::node& node) {
  if (node.is_array()) return TomlKind::kList;
  if (node.is_boolean()) return TomlKind::kTruth;
  return node.is_string() ? TomlKind::kText : TomlKind::kNumber;
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  Status Fail(std::size_t line, const std::string& what) const {
    return InvalidArgument(path_ + ":" + std::to_string(line) + ": " +
                           EscapeUnseen(what, /*keep_line_feeds=*/false));
  }

  Status Add(const std::string& section, const toml::key& key, const toml::node& node) {
    TomlEntry entry{key.source().begin.line, section, std::string(key.str()), KindOf(node), {}};
    if (const toml::table* table = node.as_table()) {
      if (!table->is_inline() && node.source().begin == key.source().begin)  // no [ before it
        return Fail(entry.line, entry.name + "." + std::string(table->begin()->first.str()) +
                                    " has a dot in its name, and nothing here has one");
      if (!section.empty() || table->is_inline())
        return Fail(entry.line, entry.name + " is a table, and nothing here is one");
      entry.section = std::exchange(entry.name, {});
      entries_.push_back(entry);
      for (const auto& [inner, value] : *table) {
        Status added = Add(entry.section, inner, value);
        if (!added.ok()) return added;
      }
      return OkStatus();
    }
    if (const toml::array* list = node.as_array()) {
      for (const toml::node& value : *list) {
        if (!AddValue(value, entry)) return BadValue(entry);
      }
    } else if (!AddValue(node, entry)) {
      return BadValue(entry);
    }
    entries_.push_back(std::move(entry));
    return OkStatus();
  }

  std::vector<TomlEntry> TakeEntries() {
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
    return std::move(entries_);
  }

 private:
  Status BadValue(const TomlEntry& entry) const {
    return Fail(entry.line, entry.name +
                                " takes a text without control characters, a number, "
                                "true or false, or a list of those");
  }

  static bool AddValue(const toml::node& node, TomlEntry& entry) {
    std::string value;
    if (const auto* text = node.as_string()) {
      value = text->get();
    } else if (const auto* number = node.as_integer()) {
      value = std::to_string(number->get());
    } else if (const auto* fraction = node.as_floating_point()) {
      value = TomlNumber(fraction->get());
    } else if (const auto* truth = node.as_boolean()) {
      value = truth->get() ? "true" : "false";
    } else {
      return false;
    }
    entry.values.push_back(std::move(value));
    return !HasControl(entry.values.back());
  }

  const std::string& path_;
  std::vector<TomlEntry> entries_;
};

}  // namespace

std::string TomlNumber(double number) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), end};
}

Result<std::vector<TomlEntry>> ReadToml(const std::string& text, const std::string& path) {
  Reader reader(path);
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const std::size_t line = parsed.error().source().begin.line;
    const std::string hint = HintOn(text, line);
    return reader.Fail(line, hint.empty() ? std::string(parsed.error().description()) : hint);
  }
  for (const auto& [key, node] : parsed.table()) {
    const Status added = reader.Add({}, key, node);
    if (!added.ok()) return added;
  }
  return reader.TakeEntries();
}

}  // namespace assent

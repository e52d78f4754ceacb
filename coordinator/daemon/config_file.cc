#include "coordinator/daemon/config_file.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "coordinator/core/text.h"

namespace assent::daemon {
namespace {

constexpr std::size_t kShownBytes = 60;

bool IsBlank(char c) { return c == ' ' || c == '\t'; }
bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

// The length of the character that `text` begins with, if a file may have it: UTF-8, no control
// character but tab and the ends of lines. Otherwise 0.
std::size_t CharacterLength(std::string_view text) {
  const auto first = static_cast<std::uint8_t>(text.front());
  if (first == '\t' || first == '\n') return 1;
  if (first == '\r') return text.substr(0, 2) == "\r\n" ? 1 : 0;
  if (first < 0x20 || first == 0x7f) return 0;
  const std::size_t length = core::Utf8Length(text);
  const bool c1 = length == 2 && first == 0xc2 && static_cast<std::uint8_t>(text[1]) < 0xa0;
  return c1 ? 0 : length;
}

// One cursor over the whole file, since lists may go on over lines. The first error stays, and ends
// the reading.
class Reader {
 public:
  Reader(std::string_view text, const std::set<std::string>& known) : rest_(text), known_(known) {}

  Result<std::map<std::string, FileSetting>> Read() {
    CheckText();
    while (error_.ok() && !rest_.empty()) {
      Blanks();
      if (!EndOfLine()) Setting();
    }
    if (!error_.ok()) return error_;
    return std::move(settings_);
  }

 private:
  void Fail(const std::string& what) {
    if (error_.ok()) error_ = InvalidArgument(std::to_string(line_) + ": " + what);
  }

  void CheckText() {
    for (std::string_view rest = rest_; !rest.empty();) {
      const std::size_t length = CharacterLength(rest);
      if (length == 0) {
        return Fail("this is no text: it has byte " +
                    std::to_string(static_cast<std::uint8_t>(rest.front())));
      }
      if (rest.front() == '\n') ++line_;
      rest.remove_prefix(length);
    }
    line_ = 1;
  }

  // The line from its beginning, for messages.
  std::string Shown() const {
    std::string_view line = line_text_.substr(0, line_text_.find_first_of("\r\n"));
    std::size_t end = 0;
    while (end < line.size() && end < kShownBytes) end += core::Utf8Length(line.substr(end));
    std::string shown(line.substr(0, end));
    std::replace(shown.begin(), shown.end(), '\t', ' ');
    return "\"" + shown + (end < line.size() ? "…" : "") + "\"";
  }

  void Blanks() {
    while (!rest_.empty() && IsBlank(rest_.front())) rest_.remove_prefix(1);
  }
  bool Take(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  // Takes blanks, a comment and the end of the line, if nothing else is left of it.
  bool EndOfLine() {
    Blanks();
    if (!rest_.empty() && rest_.front() == '#')
      rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
    if (rest_.empty()) return true;
    if (!Take("\n") && !Take("\r\n")) return false;
    ++line_;
    return true;
  }

  void Setting() {
    line_text_ = rest_;
    std::size_t length = 0;
    while (length < rest_.size() && IsNameByte(rest_[length])) ++length;
    const std::string name(rest_.substr(0, length));
    rest_.remove_prefix(length);
    Blanks();
    if (name.empty() || !Take("=")) return Fail(Shown() + " is not `name = value`");
    if (known_.count(name) == 0) return Fail(name + " is no setting");
    const auto [setting, is_new] = settings_.try_emplace(name, FileSetting{line_, {}});
    if (!is_new) {
      return Fail(name + " is set twice, first in line " + std::to_string(setting->second.line));
    }
    Blanks();
    if (Take("[")) {
      List(setting->second.values);
    } else {
      setting->second.values.push_back(Value("#\r\n"));
    }
    if (error_.ok() && !EndOfLine()) Fail(Shown() + " goes on after its value");
  }

  void List(std::vector<std::string>& values) {
    const std::size_t begun = line_;
    while (error_.ok()) {
      while (!rest_.empty() && EndOfLine()) {
      }
      if (Take("]")) return;
      if (rest_.empty()) {
        line_ = begun;
        return Fail("this list has no end");
      }
      values.push_back(Value(",]#\r\n"));
      while (!rest_.empty() && EndOfLine()) {
      }
      if (!Take(",") && rest_.substr(0, 1) != "]" && !rest_.empty())
        Fail("the values of a list are separated by commas");
    }
  }

  // Bare, up to one of `ends`; or in quotes.
  std::string Value(std::string_view ends) {
    if (Take("\"")) return Quoted();
    if (Take("'")) {
      const std::string value(rest_.substr(0, rest_.find_first_of("'\n")));
      rest_.remove_prefix(value.size());
      if (!Take("'")) Fail(Shown() + " has no closing quote");
      return value;
    }
    std::string_view value = rest_.substr(0, rest_.find_first_of(ends));
    rest_.remove_prefix(value.size());
    while (!value.empty() && IsBlank(value.back())) value.remove_suffix(1);
    if (value.empty()) Fail("there is no value (an empty one is \"\")");
    if (value.find_first_of("\"'") != std::string_view::npos)
      Fail(Shown() + " has a quote within its value");
    return std::string(value);
  }

  // After the opening quote, with the escapes of the header.
  std::string Quoted() {
    std::string value;
    while (!rest_.empty() && rest_.front() != '\n') {
      if (Take("\"")) return value;
      if (!Take("\\")) {
        value += rest_.front();
        rest_.remove_prefix(1);
      } else if (Take("t")) {
        value += '\t';
      } else if (Take("\"")) {
        value += '"';
      } else if (Take("\\")) {
        value += '\\';
      } else {
        Fail(Shown() + " has a backslash before neither \", \\ nor t");
        return value;
      }
    }
    Fail(Shown() + " has no closing quote");
    return value;
  }

  std::string_view rest_;
  const std::set<std::string>& known_;
  std::size_t line_ = 1;
  std::string_view line_text_;
  std::map<std::string, FileSetting> settings_;
  Status error_;
};

}  // namespace

Result<std::map<std::string, FileSetting>> ReadConfigFile(std::string_view text,
                                                          const std::set<std::string>& known) {
  return Reader(text, known).Read();
}

std::string QuoteForConfigFile(std::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\t') {
      quoted += "\\t";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace assent::daemon

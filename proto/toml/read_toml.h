#pragma once

// Files of settings, as the programs of both sides read them: TOML, of which a setting takes a
// text, a number, true or false, or a list of those. Whatever is not understood is an error with
// its line, so that no file which is not one of ours passes for an empty one.

#include <cstddef>
#include <string>
#include <vector>

#include <assent/status.h>

namespace assent {

enum class TomlKind { kText, kNumber, kTruth, kList };

// `name = value` in [section], or in none. A section's own line has no name.
struct TomlEntry {
  std::size_t line = 0;
  std::string section;
  std::string name;
  TomlKind kind = TomlKind::kText;
  std::vector<std::string> values;  // several, or none, only of a list
};

// In the order of the file. kInvalidArgument: "PATH:LINE: what is wrong, and what to write".
Result<std::vector<TomlEntry>> ReadToml(const std::string& text, const std::string& path);

// The shortest text that is read as the same number.
std::string TomlNumber(double number);

}  // namespace assent

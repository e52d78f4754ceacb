#pragma once

// The manual page of a program, made of the description that its command line is read by: what
// --help says, a command or a flag that is added appears in both.

#include <string>

#include <CLI/CLI.hpp>

namespace assent {

struct ManFacts {
  int section = 1;
  std::string version;
  // YYYY-MM-DD.
  std::string date;
  // Other pages: "assentd(8)".
  std::string see_also;
};

// In roff's man(7). All commands are on the one page. What stands in a footer under an unindented
// line that ends with a colon is a section of its own; indented lines are left as they are.
std::string ManPage(const CLI::App& program, const ManFacts& facts);

// Today, or the day of SOURCE_DATE_EPOCH, by which builds are made reproducible.
std::string ManDate();

}  // namespace assent

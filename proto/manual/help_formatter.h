#pragma once

// What --help looks like: whatever is said stands within the page.

#include <cstddef>
#include <sstream>
#include <string>

#include <CLI/CLI.hpp>

#include "proto/manual/wrap.h"

namespace assent {

class HelpFormatter : public CLI::Formatter {
 public:
  static constexpr std::size_t kPageColumns = 100;

  // What is positional is its own kind.
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string kind = option->get_type_name();
    std::string text;
    if (option->get_items_expected_max() > 0 && option->get_name() != kind) text += " " + kind;
    if (option->get_items_expected_max() > 1) text += " ...";
    return text;
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    return Wrap(option->get_description(), kPageColumns - get_column_width());
  }
  std::string make_subcommand(const CLI::App* command) const override {
    std::stringstream out;
    CLI::detail::format_help(out, command->get_display_name(true),
                             Wrap(command->get_description(), kPageColumns - get_column_width()),
                             get_column_width());
    return out.str();
  }
  std::string make_description(const CLI::App* command) const override {
    return Wrap(command->get_description(), kPageColumns) + "\n";
  }
};

}  // namespace assent

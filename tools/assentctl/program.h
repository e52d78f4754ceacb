#pragma once

// The tree of commands and flags. The placeholder of an option or argument ("GID", "STATE") is also
// the kind of its values: complete.cc offers values by it.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "tools/assentctl/command.h"

namespace assent::ctl {

struct Program {
  Program();

  CLI::App app;
  // What the flags said; empty: nothing.
  std::string endpoint;
  TlsFlags tls;
  TokenSource token;
  std::string profile;
  std::string profile_path;
  std::string output;
  std::string time;
  std::optional<std::chrono::milliseconds> timeout;
  bool no_color = false;
  bool version = false;
  // Set by the callback of the subcommand that was named.
  std::optional<Command> command;
};

// Add subcommands; each is in program_NAME.cc.
void AddInspectingCommands(Program& program);
void AddAuditCommands(Program& program);
void AddChangingCommands(Program& program);
void AddClusterCommands(Program& program);
void AddKeepingCommands(Program& program);
void AddAuthCommands(Program& program);
void AddKeysCommands(Program& program);

// Which transactions.
void AddFilters(CLI::App& command, v1::ListRequest& request);
// What every mutation takes; `asks`: it wants consent.
void AddIntent(CLI::App& command, Intent& intent, bool asks);

// Help texts end with examples: one command line each.
void Examples(CLI::App& command, std::initializer_list<const char*> lines);

// At most as many as a coordinator gives.
void AddPageSize(CLI::App& command, const std::string& description,
                 const std::function<void(std::uint32_t)>& set);

// An option (or, without dashes, an argument) whose value `read` takes; false from `read`, or a
// message, refuses it.
CLI::Option* AddRead(CLI::App& command, const std::string& name, const std::string& kind,
                     const std::string& description,
                     const std::function<Status(const std::string&)>& read);
CLI::Option* AddDuration(CLI::App& command, const std::string& name, const std::string& description,
                         const std::function<void(std::chrono::milliseconds)>& set);
// The same for a choice; the message lists them.
Status NotOneOf(const std::string& text, const std::vector<std::string>& choices);

}  // namespace assent::ctl

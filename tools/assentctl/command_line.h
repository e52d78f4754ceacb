#pragma once

// From words to values: flags over environment over profile file over defaults. CLI11 stays behind
// this header.

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <assent/status.h>

#include "tools/assentctl/command.h"
#include "tools/assentctl/exit_code.h"
#include "tools/assentctl/profile.h"

namespace assent::ctl {

struct ParsedLine {
  GlobalOptions options;
  Command command;
};

// The line asked for help, or is wrong: say this and end.
struct ParseEnd {
  Exit exit = Exit::kUsage;
  std::string out;
  std::string err;
};

// The outside that parsing looks at.
struct ParseInputs {
  GetEnv env;
  // A file's content; NOT_FOUND when there is none.
  std::function<Result<std::string>(const std::string& path)> read_file;
};

// `args` without the program's name.
std::variant<ParsedLine, ParseEnd> ParseCommandLine(const std::vector<std::string>& args,
                                                    const ParseInputs& inputs);

// The names of all commands, for tests and documentation.
std::vector<std::string> CommandNames();

}  // namespace assent::ctl

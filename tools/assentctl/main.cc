// assentctl: the operator's command line. Reads the words, connects, runs one command.

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <sys/stat.h>

#include "tools/assentctl/command_line.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/connection.h"

namespace {

using assent::Result;
using assent::ctl::Exit;

int Number(Exit exit) { return static_cast<int>(exit); }

Result<std::string> ReadProfileFile(assent::ctl::ProcessConsole& console, const std::string& path) {
  struct stat ignored {};
  if (stat(path.c_str(), &ignored) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return assent::NotFound("cannot read " + path + ": " + std::strerror(errno));
  }
  return console.ReadFile(path);
}

}  // namespace

int main(int argc, char** argv) {
  assent::ctl::ProcessConsole console;
  const assent::ctl::ParseInputs inputs{
      [](const char* name) -> const char* { return std::getenv(name); },
      [&console](const std::string& path) { return ReadProfileFile(console, path); }};
  auto parsed = assent::ctl::ParseCommandLine({argv + 1, argv + argc}, inputs);
  if (const auto* end = std::get_if<assent::ctl::ParseEnd>(&parsed)) {
    console.Out(end->out);
    console.Err(end->err);
    return Number(end->exit);
  }
  const auto& line = std::get<assent::ctl::ParsedLine>(parsed);
  const auto service =
      assent::ctl::Connect(line.options.endpoint, line.options.tls, line.options.token);
  if (!service.ok()) {
    console.Err("assentctl: " + service.status().message() + "\n");
    return Number(Exit::kUsage);
  }
  assent::ctl::Session session{**service, console, line.options,
                               assent::ctl::ProcessSurroundings()};
  const Exit exit = assent::ctl::Run(line.command, session);
  if (!console.FlushOut()) {
    console.Err("assentctl: cannot write the output: " + std::string(std::strerror(errno)) + "\n");
    return Number(exit == Exit::kDone ? Exit::kOther : exit);
  }
  return Number(exit);
}

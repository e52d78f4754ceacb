// assent-relay: hands over what services have published into assent_outbox. See docs/messages.md.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <variant>

#include <assent/overload.h>

#include "tools/assent-relay/commands.h"

namespace {

// In all threads, before the first of them: whoever waits for them takes them.
void BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
  namespace relay = assent::relay;
  const auto parsed = relay::ParseCommandLine(
      {argv + 1, argv + argc}, [](const char* name) -> const char* { return std::getenv(name); });
  if (const auto* end = std::get_if<relay::ParseEnd>(&parsed)) {
    std::fputs(end->out.c_str(), stdout);
    std::fputs(end->err.c_str(), stderr);
    return static_cast<int>(end->exit);
  }
  const auto& line = std::get<relay::ParsedLine>(parsed);
  const relay::Exit exit = std::visit(
      assent::Overload{
          [&](const relay::RunCommand& run) {
            BlockSignals();
            return relay::Run(line.database, run);
          },
          [&](const relay::ListCommand& list) { return relay::List(line.database, list); },
          [&](const relay::ApplyCommand& apply) { return relay::Apply(line.database, apply); },
          [](const relay::TableCommand& table) { return relay::PrintTable(table); },
      },
      line.command);
  if (std::fflush(stdout) != 0) {
    std::perror("assent-relay: cannot write the output");
    return static_cast<int>(relay::Exit::kOther);
  }
  return static_cast<int>(exit);
}

// assent-contract: holds a participant, or an initiator, in any language, to the contract.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <grpc/grpc.h>
#include <nlohmann/json.hpp>

#include "tests/contract/initiator/rules.h"
#include "tests/contract/initiator/run.h"
#include "tests/contract/limits.h"
#include "tests/contract/rules.h"
#include "tests/contract/run.h"

namespace {

using assent::contract::InitiatorOptions;
using assent::contract::Outcome;
using assent::contract::ParticipantOptions;
using assent::contract::Verdict;

constexpr int kHolds = 0;
constexpr int kBroken = 1;
constexpr int kNotLooked = 2;

// A row of --list.
struct Row {
  std::string name;
  std::string needs;
  std::string sentence;
};

std::vector<Row> ParticipantRows() {
  std::vector<Row> rows;
  for (const auto& rule : assent::contract::Rules())
    rows.push_back({rule.name, NeedsOf(rule), rule.sentence});
  rows.push_back({assent::contract::kWellFormed, "", assent::contract::kWellFormedSentence});
  return rows;
}

int List(const std::vector<Row>& rows, bool json) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    if (json) {
      all.push_back({{"rule", row.name}, {"needs", row.needs}, {"sentence", row.sentence}});
    } else {
      std::printf("%-24s%-22s%s\n", row.name.c_str(), row.needs.empty() ? "-" : row.needs.c_str(),
                  row.sentence.c_str());
    }
  }
  if (json) std::printf("%s\n", all.dump(2).c_str());
  return kHolds;
}

int Report(const std::string& what, const Outcome& outcome, bool json) {
  if (!outcome.failure.empty()) {
    std::fprintf(stderr, "assent-contract: %s\n", outcome.failure.c_str());
    return kNotLooked;
  }
  const std::string text =
      json ? AsJson(what, outcome.verdicts) : assent::contract::Summary(outcome.verdicts);
  std::fputs(text.c_str(), stdout);
  return AnyBroken(outcome.verdicts) ? kBroken : kHolds;
}

// What is wrong with --rule; empty: nothing.
std::string UnknownRule(const std::vector<std::string>& wanted, const std::vector<Row>& rows) {
  for (const std::string& name : wanted) {
    if (std::none_of(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; }))
      return "there is no rule " + name + "; --list has them";
  }
  return "";
}

struct Shared {
  std::vector<std::string> rules;
  std::string start;
  std::string output;
  std::int64_t patience_ms = assent::contract::kDefaultPatience.count();
  bool json = false;
  bool list = false;
};

void AddShared(CLI::App& command, Shared& shared) {
  command.add_option("--start", shared.start,
                     "The command; run by /bin/sh, killed with -9, started again");
  command.add_option("--rule", shared.rules, "Look at this rule alone; may be repeated");
  command
      .add_option("--patience-ms", shared.patience_ms,
                  "How long to wait for what must come, in milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(assent::contract::kMinPatience.count(),
                         assent::contract::kMaxPatience.count()));
  command.add_option("--output", shared.output, "File for what the command writes; appended to");
  command.add_flag("--json", shared.json, "Print JSON");
  command.add_flag("--list", shared.list, "Print the rules, and look at nothing");
}

void Say(const Verdict& verdict) {
  std::fputs(AsText(verdict).c_str(), stdout);
  std::fflush(stdout);
}

std::vector<Row> InitiatorRows() {
  std::vector<Row> rows;
  for (const auto& rule : assent::contract::InitiatorRules())
    rows.push_back({rule.name, rule.call, rule.sentence});
  return rows;
}

int Initiator(const Shared& shared, InitiatorOptions options) {
  const std::vector<Row> rows = InitiatorRows();
  if (shared.list) return List(rows, shared.json);
  std::string wrong = UnknownRule(shared.rules, rows);
  if (shared.start.empty()) wrong = "--start COMMAND is needed";
  if (!wrong.empty()) return Report("", {{}, wrong}, shared.json);
  options.start = shared.start;
  options.rules = shared.rules;
  options.output_file = shared.output;
  options.patience = std::chrono::milliseconds(shared.patience_ms);
  const auto said = [&](const Verdict& verdict) {
    if (!shared.json) Say(verdict);
  };
  return Report("initiator", RunInitiator(options, said), shared.json);
}

int Participant(const Shared& shared, ParticipantOptions options) {
  const std::vector<Row> rows = ParticipantRows();
  if (shared.list) return List(rows, shared.json);
  std::string wrong = UnknownRule(shared.rules, rows);
  const int ways = !options.session.empty() + !options.unary.empty() + !options.http.empty();
  if (ways != 1) wrong = "one of --session HOST:PORT, --unary HOST:PORT and --http URL is needed";
  if (!options.secret_file.empty() && options.http.empty())
    wrong = "--secret-file is of use with --http alone";
  if (!wrong.empty()) return Report("", {{}, wrong}, shared.json);
  options.start = shared.start;
  options.rules = shared.rules;
  options.output_file = shared.output;
  options.patience = std::chrono::milliseconds(shared.patience_ms);
  const auto said = [&](const Verdict& verdict) {
    if (!shared.json) Say(verdict);
  };
  return Report("participant", RunParticipant(options, said), shared.json);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  // It would end itself with its last object, beside the beginning of the next one.
  grpc_init();
  CLI::App app(
      "Holds a participant or an initiator, in any language, to the contract of Assent.\n"
      "Exit code: 0 each rule that applies holds, 1 one is broken, 2 nothing was seen.");
  app.require_subcommand(1);

  Shared shared;
  ParticipantOptions options;
  CLI::App& participant = *app.add_subcommand("participant", "Plays coordinator for a participant");
  participant.add_option("--session", options.session,
                         "HOST:PORT to listen at, for a participant that dials");
  participant.add_option("--unary", options.unary,
                         "HOST:PORT of a participant that is dialled; port 0: one is picked");
  participant.add_option(
      "--http", options.http,
      "http://HOST:PORT/PATH of a participant that serves HTTP; port 0: likewise");
  participant.add_option("--secret-file", options.secret_file,
                         "With --http: file with the secret that commands are signed with");
  participant
      .add_option("--protocols", options.protocols,
                  "Those of 2pc, tcc, saga that add is there for; default: what is offered")
      ->delimiter(',')
      ->check(CLI::IsMember({"2pc", "tcc", "saga"}));
  AddShared(participant, shared);
  InitiatorOptions initiator_options;
  CLI::App& initiator = *app.add_subcommand("initiator", "Plays coordinator for an initiator");
  initiator.add_option("--listen", initiator_options.listen, "HOST:PORT; port 0: one is picked")
      ->default_val("127.0.0.1:0");
  AddShared(initiator, shared);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kHolds : kNotLooked;
  }
  return participant.parsed() ? Participant(shared, options) : Initiator(shared, initiator_options);
}

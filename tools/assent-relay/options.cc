#include "tools/assent-relay/options.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>

#include <CLI/CLI.hpp>

#include <assent/text.h>

#include "proto/manual/help_formatter.h"
#include "tools/assentctl/duration.h"

namespace assent::relay {
namespace {

constexpr std::size_t kMaxListedCount = 10'000;
constexpr std::size_t kMaxBatchCount = 1'024;
constexpr std::size_t kMaxStreamsCount = 16;

// The first is the default, where one is needed.
CLI::Option* AddChoice(CLI::App& command, const std::string& name, const std::string& kind,
                       const std::vector<std::string>& choices, std::string& value) {
  std::string all;
  for (const std::string& choice : choices) all += (all.empty() ? "" : ", ") + choice;
  const bool has_default = !value.empty();
  return command
      .add_option_function<std::string>(
          name,
          [name, choices, all, &value](const std::string& text) {
            if (std::find(choices.begin(), choices.end(), text) == choices.end())
              throw CLI::ValidationError(name, "'" + text + "' is none of " + all);
            value = text;
          },
          "One of " + all + (has_default ? " (default " + value + ")" : ""))
      ->type_name(kind);
}

// What is read, and where it goes.
struct Program {
  Program();
  void AddRun();
  void AddPeople();
  CLI::Option* AddDatabase(CLI::App& command);
  void AddDuration(CLI::App& command, const std::string& name, const std::string& help,
                   std::chrono::milliseconds& value) const;
  void AddNumber(CLI::App& command, const std::string& name, const std::string& help,
                 std::size_t most, std::size_t& value) const;
  void AddClient(CLI::App& command);

  CLI::App app{
      "Hands over what services have published into their outbox to the Assent coordinator.",
      "assent-relay"};
  std::string database;
  std::vector<std::string> endpoints;
  std::string log_format = "text";
  RunCommand run;
  ListCommand list;
  ApplyCommand apply;
  TableCommand table;
  std::string output = "table";
  bool version = false;
  std::optional<Command> command;
};

Program::Program() {
  const auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(34);
  app.formatter(formatter);
  app.require_subcommand(0, 1);
  app.add_flag("--version", version, "Print the version and end");
  app.set_help_flag("-h,--help", "Print this and end");
  AddRun();
  AddPeople();
  app.footer(
      "Examples:\n"
      "  assent-relay run --database sqlite:/var/lib/shop/orders.db\n"
      "  assent-relay run --database 'postgresql:host=db dbname=shop' --endpoint assent:7400\n"
      "  assent-relay list --database sqlite:orders.db --parked\n"
      "\n"
      "Exit codes:\n"
      "  0 done, 1 other, 2 usage, 3 cannot connect to the database, 4 no such row, 5 wrong state\n"
      "  (no table, say)");
}

CLI::Option* Program::AddDatabase(CLI::App& command_app) {
  return command_app
      .add_option("--database", database,
                  "Where assent_outbox is: sqlite:PATH, postgresql:CONNINFO or postgresql://…, "
                  "mariadb:'host=… port=… user=… password=… database=…' (or socket=, option_file=, "
                  "tls_ca=, tls_cert=, tls_key=). ASSENT_RELAY_DATABASE, where nobody reads a "
                  "password in the list of processes")
      ->type_name("DATABASE");
}

void Program::AddDuration(CLI::App& command_app, const std::string& name, const std::string& help,
                          std::chrono::milliseconds& value) const {
  command_app
      .add_option_function<std::string>(
          name,
          [name, &value](const std::string& text) {
            const Result<std::int64_t> ms = ctl::ParseDuration(text);
            if (!ms.ok()) throw CLI::ValidationError(name, ms.status().message());
            value = std::chrono::milliseconds(*ms);
          },
          help)
      ->type_name("DURATION");
}

void Program::AddNumber(CLI::App& command_app, const std::string& name, const std::string& help,
                        std::size_t most, std::size_t& value) const {
  const std::string kept = std::to_string(value);
  command_app
      .add_option_function<std::int64_t>(
          name,
          [name, most, &value](std::int64_t number) {
            if (number < 1 || number > static_cast<std::int64_t>(most)) {
              throw CLI::ValidationError(
                  name, std::to_string(number) + " is not in 1 to " + std::to_string(most));
            }
            value = static_cast<std::size_t>(number);
          },
          help + " (default " + kept + ", at most " + std::to_string(most) + ")")
      ->type_name("NUMBER");
}

void Program::AddClient(CLI::App& command_app) {
  command_app
      .add_option(
          "--endpoint", endpoints,
          "A coordinator, host:port or unix:/path; several that share one log: with commas, "
          "or the flag again (ASSENT_ENDPOINT; default 127.0.0.1:7400)")
      ->delimiter(',')
      ->type_name("ADDRESS");
  TlsOptions& tls = run.client.tls;
  const auto file = [&](const char* name, std::string& value, const char* help) {
    command_app.add_option(name, value, help)->type_name("FILE");
  };
  file("--tls-ca", tls.ca_file, "The CAs of the coordinator's certificate, in PEM (ASSENT_TLS_CA)");
  file("--tls-cert", tls.cert_file, "What to show of oneself, in PEM (ASSENT_TLS_CERT)");
  file("--tls-key", tls.key_file, "The key of --tls-cert (ASSENT_TLS_KEY)");
  command_app
      .add_option("--tls-server-name", tls.server_name,
                  "The name in the coordinator's certificate, if it is not the host of --endpoint "
                  "(ASSENT_TLS_SERVER_NAME)")
      ->type_name("NAME");
  file("--token-file", run.client.token.file,
       "Show the token in this file (ASSENT_TOKEN_FILE, or ASSENT_TOKEN for a token)");
  command_app.add_flag(
      "--token-over-plain", run.client.token.over_plain,
      "Show it without TLS as well, to whoever listens on the way (ASSENT_TOKEN_OVER_PLAIN=1)");
  AddNumber(command_app, "--streams",
            "Parallel streams to the coordinator; more than one when a core is busy with it",
            kMaxStreamsCount, run.client.streams);
}

void Program::AddRun() {
  CLI::App& sub = *app.add_subcommand(
      "run",
      "Hand over what is published, until SIGTERM or SIGINT. Several at once share the work");
  sub.callback([this] { command = run; });
  AddDatabase(sub);
  AddClient(sub);
  AddNumber(sub, "--batch", "Rows that one turn takes", kMaxBatchCount, run.relay.batch);
  AddDuration(sub, "--call-timeout",
              "How long a row waits for its answer: that it is accepted, or, with a key, complete "
              "(default 30s)",
              run.relay.call_timeout);
  AddDuration(sub, "--lease",
              "So long nobody else takes a row that is under way; longer than --call-timeout "
              "(default 1m)",
              run.relay.lease);
  AddDuration(sub, "--poll", "How often to look when there was nothing to do (default 200ms)",
              run.relay.idle_poll);
  AddDuration(sub, "--retention-guard",
              "Ask first whether a row has run, if it was first handed over longer ago than this "
              "(default 12h). Shorter than the coordinator's --retention-hours",
              run.relay.retention_guard);
  AddDuration(sub, "--stop-patience", "How long a stop waits for what is under way (default 10s)",
              run.relay.stop_patience);
  sub.add_option("--metrics-listen", run.metrics_listen,
                 "Serve /metrics for Prometheus, and /healthz, over HTTP here (default: not)")
      ->type_name("HOST:PORT");
  AddChoice(sub, "--log-format", "FORMAT", {"text", "json"}, log_format);
}

void Program::AddPeople() {
  CLI::App& list_app = *app.add_subcommand(
      "list", "Show rows, the oldest first: what waits, what was tried, what is parked and why");
  list_app.callback([this] { command = list; });
  AddDatabase(list_app);
  list_app.add_flag("--parked", list.parked_only, "Those alone that wait for a person");
  AddNumber(list_app, "--limit", "How many to show", kMaxListedCount, list.limit);
  AddChoice(list_app, "-o,--output", "OUTPUT", {"table", "jsonl"}, output);

  const auto deed = [this](const char* name, const char* help, OutboxTable::Change change) {
    CLI::App& sub = *app.add_subcommand(name, help);
    sub.callback([this, change] {
      apply.change = change;
      command = apply;
    });
    AddDatabase(sub);
    sub.add_option("GID", apply.gids, "Of the rows")->required()->type_name("GID");
  };
  deed("retry",
       "Hand rows over again, now, parked or not. If one has run and been forgotten, it runs a "
       "second time: look first (assentctl show GID, and at the participants)",
       OutboxTable::Change::kRetry);
  deed("drop", "Delete rows: what they say is never begun by anybody", OutboxTable::Change::kDrop);

  CLI::App& table_app = *app.add_subcommand(
      "table",
      "Print the SQL that makes the table: for migrations, and for psql, mariadb, sqlite3");
  table_app.callback([this] { command = table; });
  AddChoice(table_app, "KIND", "KIND", {"sqlite", "postgresql", "mariadb"}, table.database_kind)
      ->required();
}

ParseEnd UsageError(const Program& program, const std::string& what) {
  std::string command = "assent-relay";
  for (const CLI::App* sub : program.app.get_subcommands()) command += " " + sub->get_name();
  return {Exit::kUsage, "", "assent-relay: " + what + "\nTry: " + command + " --help\n"};
}

// What CLI11 cannot know.
Status Finish(Program& program, const GetEnv& env) {
  if (program.database.empty()) {
    const char* value = env("ASSENT_RELAY_DATABASE");
    if (value != nullptr) program.database = value;
  }
  const bool needs_database = !std::holds_alternative<TableCommand>(*program.command);
  if (needs_database && program.database.empty())
    return InvalidArgument("where is the table? --database is missing");
  if (auto* const list = std::get_if<ListCommand>(&*program.command))
    list->json = program.output == "jsonl";
  auto* const run = std::get_if<RunCommand>(&*program.command);
  if (run == nullptr) return OkStatus();
  run->client.endpoints = program.endpoints;
  run->json_log = program.log_format == "json";
  return run->relay.Validate();
}

}  // namespace

Exit ExitFor(Code code) {
  switch (code) {
    case Code::kOk: return Exit::kDone;
    case Code::kInvalidArgument: return Exit::kUsage;
    case Code::kUnavailable:
    case Code::kPermissionDenied: return Exit::kCannotConnect;
    case Code::kNotFound: return Exit::kNotFound;
    case Code::kFailedPrecondition: return Exit::kWrongState;
    case Code::kUnauthenticated:
    case Code::kOutOfRange:
    case Code::kAlreadyExists:
    case Code::kAborted:
    case Code::kCancelled:
    case Code::kDeadlineExceeded:
    case Code::kResourceExhausted:
    case Code::kUnimplemented:
    case Code::kInternal:
    case Code::kDataLoss:
    case Code::kUnknownOutcome:
    case Code::kElsewhere: return Exit::kOther;
  }
  return Exit::kOther;
}

std::variant<ParsedLine, ParseEnd> ParseCommandLine(const std::vector<std::string>& args,
                                                    const GetEnv& env) {
  Program program;
  try {
    program.app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::CallForHelp&) {
    return ParseEnd{Exit::kDone, program.app.help(), ""};
  } catch (const CLI::ExtrasError& error) {
    const std::vector<std::string> strange = program.app.remaining(/*recurse=*/true);
    if (!program.app.get_subcommands().empty() || strange.empty())
      return UsageError(program, EscapeUnseen(error.what(), /*keep_line_feeds=*/false));
    return UsageError(
        program, "there is no command " + EscapeUnseen(strange.front(), /*keep_line_feeds=*/false));
  } catch (const CLI::ParseError& error) {
    return UsageError(program, EscapeUnseen(error.what(), /*keep_line_feeds=*/false));
  }
  if (program.version)
    return ParseEnd{Exit::kDone, std::string("assent-relay ") + ASSENT_VERSION + "\n", ""};
  if (!program.command) return ParseEnd{Exit::kUsage, "", program.app.help()};
  if (const Status status = Finish(program, env); !status.ok())
    return UsageError(program, status.message());
  return ParsedLine{program.database, *program.command};
}

}  // namespace assent::relay

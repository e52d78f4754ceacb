#include "tools/assentctl/program.h"

#include <memory>
#include <sstream>
#include <utility>

#include "proto/manual/help_formatter.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/profile.h"

namespace assent::ctl {
namespace {

// CLI11's layout without its repetitions (an argument named as its kind says it once), and wrapped
// at a page's width.
class LineFormatter final : public HelpFormatter {
 public:
  // A name that says itself what may be repeated is left as it is.
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_name().find("...") != std::string::npos) return {};
    return HelpFormatter::make_option_opts(option);
  }
  std::string make_option_usage(const CLI::Option* option) const override {
    const std::string name = option->get_name();
    return name.find("...") != std::string::npos ? name : Formatter::make_option_usage(option);
  }
  std::string make_footer(const CLI::App* command) const override {
    if (command->get_parent() == nullptr) return Formatter::make_footer(command);
    return command->get_footer() +
           "\nFlags for every command (--endpoint, --timeout, -o, ...): assentctl --help\n";
  }
};

void AddTokenFlags(CLI::App& app, TokenSource& token) {
  app.add_option("--token-file", token.file,
                 "Show the token in this file (ASSENT_TOKEN_FILE, or ASSENT_TOKEN for a token)")
      ->type_name("FILE");
  app.add_flag(
      "--token-over-plain", token.over_plain,
      "Show it without TLS as well, to whoever listens on the way (ASSENT_TOKEN_OVER_PLAIN=1)");
}

}  // namespace

void Examples(CLI::App& command, std::initializer_list<const char*> lines) {
  std::string text = "Examples:\n";
  for (const char* line : lines) text += std::string("  ") + line + "\n";
  command.footer(text);
}

CLI::Option* AddRead(CLI::App& command, const std::string& name, const std::string& kind,
                     const std::string& description,
                     const std::function<Status(const std::string&)>& read) {
  CLI::Option* option = command.add_option_function<std::string>(
      name,
      [name, read](const std::string& text) {
        const Status status = read(text);
        if (!status.ok()) throw CLI::ValidationError(name, status.message());
      },
      description);
  return option->type_name(kind);
}

CLI::Option* AddDuration(CLI::App& command, const std::string& name, const std::string& description,
                         const std::function<void(std::chrono::milliseconds)>& set) {
  return AddRead(command, name, "DURATION", description, [set](const std::string& text) -> Status {
    const Result<std::int64_t> ms = ParseDuration(text);
    if (!ms.ok()) return ms.status();
    set(std::chrono::milliseconds(ms.value()));
    return OkStatus();
  });
}

Status NotOneOf(const std::string& text, const std::vector<std::string>& choices) {
  std::string all;
  for (const std::string& choice : choices) all += (all.empty() ? "" : ", ") + choice;
  return InvalidArgument("'" + text + "' is none of " + all);
}

Program::Program()
    : app("The operator's view of Assent: what runs, why it does not finish, what to do.",
          "assentctl") {
  app.formatter(std::make_shared<LineFormatter>());
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.add_option(
         "--endpoint", endpoint,
         "The coordinator: host:port or unix:/path; of several, with commas between, the first "
         "that answers (ASSENT_ENDPOINT; default 127.0.0.1:7400)")
      ->type_name("ADDRESS");
  app.add_option("--tls-ca", tls.ca,
                 "Dial over TLS: the CAs of the coordinator's certificate, in PEM (ASSENT_TLS_CA)")
      ->type_name("FILE");
  app.add_option("--tls-cert", tls.cert, "What to show of oneself, in PEM (ASSENT_TLS_CERT)")
      ->type_name("FILE");
  app.add_option("--tls-key", tls.key, "The key of --tls-cert (ASSENT_TLS_KEY)")->type_name("FILE");
  app.add_option("--tls-server-name", tls.server_name,
                 "The name in the coordinator's certificate, if it is not the host of --endpoint "
                 "(ASSENT_TLS_SERVER_NAME)")
      ->type_name("NAME");
  AddTokenFlags(app, token);
  AddDuration(app, "--timeout",
              "How long a call may take (default 10s); for wait, submit, watch, show --watch and "
              "cluster drain --wait: the whole of it",
              [this](std::chrono::milliseconds limit) { timeout = limit; });
  AddRead(app, "-o,--output", "OUTPUT", "table, wide, json, jsonl, yaml or id (default table)",
          [this](const std::string& text) -> Status {
            Output parsed{};
            output = text;
            if (ReadOutput(text, parsed)) return OkStatus();
            return NotOneOf(text, {"table", "wide", "json", "jsonl", "yaml", "id"});
          });
  AddRead(app, "--time", "TIME", "relative or iso (default relative)",
          [this](const std::string& text) -> Status {
            TimeStyle parsed{};
            time = text;
            return ReadTimeStyle(text, parsed) ? OkStatus() : NotOneOf(text, {"relative", "iso"});
          });
  app.add_flag("--no-color", no_color,
               "No colours (there are none without a terminal, or with NO_COLOR)");
  app.add_option("--profile", profile, "A section of the profile file (ASSENT_PROFILE)")
      ->type_name("NAME");
  app.add_option("--profile-file", profile_path,
                 "Settings (ASSENT_PROFILE_FILE; default ~/.config/assent/assentctl.toml)")
      ->type_name("FILE");
  app.add_flag("--version", version, "Print the version and end");
  AddInspectingCommands(*this);
  AddChangingCommands(*this);
  AddClusterCommands(*this);
  AddKeepingCommands(*this);
  AddAuthCommands(*this);
  AddKeysCommands(*this);
  app.footer(
      "Examples:\n"
      "  assentctl list                              what is unfinished, what needs attention "
      "first\n"
      "  assentctl show order-17                     why it is not finished, each attempt, each "
      "person's action\n"
      "  assentctl --endpoint assent.example:7400 stats\n"
      "\n"
      "A flag wins over the environment, that over the profile file.\n"
      "\n"
      "Exit codes:\n"
      "  0 done, 1 other, 2 usage, 3 cannot connect, 4 not found, 5 wrong state, 6 not permitted,\n"
      "  7 some of a batch failed, 10 aborted, 11 still running, 12 needs a human");
}

}  // namespace assent::ctl

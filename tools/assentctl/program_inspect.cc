// The commands that look: list, show, watch, wait, events, participants, stats, health, version.

#include <memory>

#include <assent/limits.h>

#include "tools/assentctl/event_view.h"
#include "tools/assentctl/program.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
void AddPageSize(CLI::App& command, const std::string& description,
                 const std::function<void(std::uint32_t)>& set) {
  AddRead(command, "--page-size", "COUNT", description, [set](const std::string& text) -> Status {
    std::uint32_t size = 0;
    if (!CLI::detail::lexical_cast(text, size) || size == 0 || size > limits::kMaxPageSizeCount)
      return InvalidArgument("'" + text + "' is not a number from 1 to 1000");
    set(size);
    return OkStatus();
  });
}

namespace {

void AddList(Program& program) {
  auto command = std::make_shared<ListCommand>();
  v1::ListRequest& request = command->request;
  CLI::App& list = *program.app.add_subcommand(
      "list",
      "Unfinished transactions, those that need attention first; --all for finished ones too");
  AddFilters(list, request);
  list.add_flag_callback(
          "--all", [&request] { request.set_all(true); }, "Finished ones too")
      ->excludes("--state");
  AddPageSize(list, "Transactions per page (default 50, at most 1000)",
              [&request](std::uint32_t size) { request.set_page_size(size); });
  list.add_option("--page-token", *request.mutable_page_token(),
                  "Where the page before this one ended")
      ->type_name("TOKEN");
  list.add_flag("--all-pages", command->all_pages, "Every page, not only one");
  AddRead(list, "--group-by", "GROUP",
          "Unfinished ones as one row with a number for each cause (why), or for each service that "
          "they wait for",
          [command = command.get()](const std::string& text) -> Status {
            if (text != "why" && text != "service") return NotOneOf(text, {"why", "service"});
            command->group_by = text == "why" ? GroupBy::kWhy : GroupBy::kService;
            return OkStatus();
          })
      ->excludes("--all", "--outcome", "--page-size", "--page-token", "--all-pages");
  list.add_flag("--watch", command->watch, "Again and again");
  AddDuration(list, "--interval", "How often, with --watch (default 2s)",
              [command = command.get()](std::chrono::milliseconds time) {
                command->interval = std::max(time, std::chrono::milliseconds(100));
              });
  Examples(list, {"assentctl list", "assentctl list --group-by why",
                  "assentctl list --cause c2f7a9041be-03d5c8",
                  "assentctl list --needs-operator -o id | assentctl retry -",
                  "assentctl list --state committing --service inventory --min-age 5m -o wide",
                  "assentctl list --all --label customer=7 --all-pages -o jsonl"});
  list.callback([command, &program] { program.command = *command; });
}

void AddShow(Program& program) {
  auto command = std::make_shared<ShowCommand>();
  CLI::App& show = *program.app.add_subcommand(
      "show", "One transaction: why it is not finished, its branches, and all that happened to it");
  show.add_option("GID", command->gid, "The transaction")->type_name("GID")->required();
  show.add_flag("--watch", command->watch, "Follow it until it is finished");
  auto encoding = std::make_shared<std::string>();
  show.add_flag("--payloads{base64}", *encoding,
                "Show payloads, and bytes that are not text in base64 (--payloads=hex: in hex)");
  Examples(show, {"assentctl show order-17", "assentctl show order-17 --watch",
                  "assentctl show order-17 --payloads=hex -o wide",
                  "assentctl show order-17 -o json | jq -r .why_not_finished"});
  show.callback([command, encoding, &program] {
    if (!encoding->empty() && *encoding != "base64" && *encoding != "hex") {
      throw CLI::ValidationError("--payloads", NotOneOf(*encoding, {"base64", "hex"}).message());
    }
    command->payloads = !encoding->empty();
    command->bytes = *encoding == "hex" ? BytesStyle::kHex : BytesStyle::kBase64;
    program.command = *command;
  });
}

void AddWatch(Program& program) {
  auto command = std::make_shared<WatchCommand>();
  CLI::App& watch = *program.app.add_subcommand(
      "watch", "Follow one transaction, a line for each change (list --watch: all of them)");
  watch.add_option("GID", command->gid, "The transaction")->type_name("GID")->required();
  Examples(watch, {"assentctl watch order-17", "assentctl watch order-17 -o jsonl --timeout 1m"});
  watch.callback([command, &program] { program.command = *command; });
}

void AddWait(Program& program) {
  auto command = std::make_shared<WaitCommand>();
  CLI::App& wait = *program.app.add_subcommand(
      "wait",
      "Wait for the end of a transaction; the exit code tells it: 0 committed, 10 aborted, "
      "11 still running after --timeout, 12 needs a human");
  wait.add_option("GID", command->gid, "The transaction")->type_name("GID")->required();
  AddRead(wait, "--for", "FOR", "decided or completed (default completed: every branch is through)",
          [command = command.get()](const std::string& text) -> Status {
            if (text == "decided")
              command->wait_for = v1::WAIT_DECIDED;
            else if (text == "completed")
              command->wait_for = v1::WAIT_COMPLETED;
            else
              return NotOneOf(text, {"decided", "completed"});
            return OkStatus();
          });
  wait.add_flag("--patient", command->patient, "Wait on when it needs a human");
  Examples(wait, {"assentctl wait order-17 --timeout 30s",
                  "assentctl wait order-17 --for decided && ship"});
  wait.callback([command, &program] { program.command = *command; });
}

void AddEvents(Program& program) {
  auto command = std::make_shared<EventsCommand>();
  v1::EventsRequest& request = command->request;
  CLI::App& events = *program.app.add_subcommand(
      "events",
      "What happens, a line for each thing, each with its sequence: what is kept; --follow: and on "
      "from now, as it happens, of every coordinator of a cluster");
  events.add_flag("--follow", command->follow,
                  "Go on as it happens, also when the coordinator has been away");
  AddRead(events, "--after", "SEQ", "Go on behind this one: the sequence of the latest line",
          [&request](const std::string& text) -> Status {
            request.set_after(text);
            return ReadPositions(text).status();
          });
  events.add_flag_callback(
      "--from-start", [&request] { request.set_from_start(true); },
      "With --follow: what is kept first");
  AddRead(events, "--kind", "KIND",
          "Only began, decided, ended, needs-person, needs-nobody, intervened, service-away or "
          "nobody-waits; may be repeated",
          [&request](const std::string& text) -> Status {
            const auto kind = ReadEventKind(text);
            if (!kind.has_value()) return NotOneOf(text, EventKindChoices());
            request.add_kinds(*kind);
            return OkStatus();
          })
      ->trigger_on_parse();
  events
      .add_option("--service", *request.mutable_service(),
                  "Only what is about this service: it is away, a branch of it refused, needs a "
                  "person, or was resolved")
      ->type_name("SERVICE");
  events.add_option("--gid-prefix", *request.mutable_gid_prefix(), "Only gids that begin so")
      ->type_name("TEXT");
  events.add_flag_callback(
      "--needs-operator", [&request] { request.set_needs_operator(true); },
      "Only who begins to need a person, does no more, or has ended MIXED or HAZARD");
  Examples(events, {"assentctl events", "assentctl events --follow --needs-operator",
                    "assentctl events --kind needs-person --kind intervened --service payment",
                    "assentctl events --follow --after 50378241.1204 -o jsonl"});
  events.callback([command, &program] { program.command = *command; });
}

void AddServer(Program& program) {
  auto command = std::make_shared<ParticipantsCommand>();
  CLI::App& participants = *program.app.add_subcommand(
      "participants", "The services that take part, their instances and what waits for them");
  participants
      .add_option("PREFIX", *command->request.mutable_service_prefix(),
                  "Only services that begin so")
      ->type_name("SERVICE");
  Examples(participants, {"assentctl participants", "assentctl participants inventory -o wide"});
  participants.callback([command, &program] { program.command = *command; });

  CLI::App& stats = *program.app.add_subcommand("stats", "The coordinator's counts, and who it is");
  Examples(stats, {"assentctl stats", "assentctl stats -o json | jq .needs_operator"});
  stats.callback([&program] { program.command = StatsCommand(); });

  CLI::App& health = *program.app.add_subcommand(
      "health",
      "Whether new transactions are taken: exit 0 yes, 1 no (says why), 3 nobody answers");
  Examples(health, {"assentctl health", "assentctl health --timeout 2s || page-someone"});
  health.callback([&program] { program.command = HealthCommand(); });

  auto top = std::make_shared<TopCommand>();
  CLI::App& overview = *program.app.add_subcommand(
      "top", "A live overview: rates, what is in flight, why it does not finish, participants");
  overview.add_flag("--once", top->once, "Look once, for a second, and end; needs no terminal");
  AddDuration(overview, "--interval", "How often (default 2s)",
              [top = top.get()](std::chrono::milliseconds time) {
                top->interval = std::max(time, std::chrono::milliseconds(100));
              });
  Examples(overview, {"assentctl top", "assentctl top --once -o json | jq .committed_per_second"});
  overview.callback([top, &program] { program.command = *top; });

  CLI::App& version =
      *program.app.add_subcommand("version", "The version of assentctl (stats has assentd's)");
  Examples(version, {"assentctl version"});
  version.callback([&program] { program.command = VersionCommand(); });
}

}  // namespace

void AddFilters(CLI::App& list, v1::ListRequest& request) {
  AddRead(list, "--state", "STATE", "Only these states; may be repeated",
          [&request](const std::string& text) -> Status {
            const auto state = ReadState(text);
            if (!state.has_value()) return NotOneOf(text, StateChoices());
            request.add_states(*state);
            return OkStatus();
          })
      ->trigger_on_parse();
  AddRead(list, "--protocol", "PROTOCOL", "Only with a branch of this protocol",
          [&request](const std::string& text) -> Status {
            const auto protocol = ReadProtocol(text);
            if (!protocol.has_value()) return NotOneOf(text, ProtocolChoices());
            request.set_protocol(*protocol);
            return OkStatus();
          });
  AddRead(list, "--outcome", "OUTCOME", "Only with this outcome",
          [&request](const std::string& text) -> Status {
            const auto outcome = ReadOutcome(text);
            if (!outcome.has_value()) return NotOneOf(text, OutcomeChoices());
            request.set_outcome(*outcome);
            return OkStatus();
          });
  AddRead(list, "--label", "KEY=VALUE", "Only with this label; may be repeated",
          [&request](const std::string& text) -> Status {
            const std::size_t equals = text.find('=');
            if (equals == std::string::npos || equals == 0) {
              return InvalidArgument("'" + text + "' is not key=value");
            }
            (*request.mutable_labels())[text.substr(0, equals)] = text.substr(equals + 1);
            return OkStatus();
          })
      ->trigger_on_parse();
  // An empty one, such as a variable that is not set, would mean all.
  const auto not_empty = [](const std::string& text) {
    return std::string(text.empty() ? "is empty: leave it out, if all are meant" : "");
  };
  list.add_option("--service", *request.mutable_service(), "Only with a branch of this service")
      ->type_name("SERVICE")
      ->check(not_empty);
  list.add_option("--cause", *request.mutable_cause(),
                  "Only those that are not finished for this cause, as --group-by names it")
      ->type_name("CAUSE")
      ->check(not_empty);
  list.add_option("--prefix", *request.mutable_gid_prefix(), "Only gids that begin so")
      ->type_name("TEXT")
      ->check(not_empty);
  AddDuration(list, "--min-age", "Only those begun at least so long ago",
              [&request](std::chrono::milliseconds age) { request.set_min_age_ms(age.count()); });
  list.add_flag_callback(
      "--needs-operator", [&request] { request.set_needs_operator(true); },
      "Only those that need a person");
}

void AddInspectingCommands(Program& program) {
  AddList(program);
  AddShow(program);
  AddWatch(program);
  AddWait(program);
  AddEvents(program);
  AddAuditCommands(program);
  AddServer(program);
}

}  // namespace assent::ctl

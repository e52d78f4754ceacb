// cluster and what is below it (status, locate, drain, move, unpin, fence, restored), and migrate.

#include <algorithm>
#include <memory>

#include <assent/name.h>

#include "tools/assentctl/program.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

void AddStatusFlags(CLI::App& app, ClusterStatusCommand& command) {
  app.add_flag("--watch", command.watch, "Again and again");
  AddDuration(app, "--interval", "How often, with --watch (default 1s)",
              [&command](std::chrono::milliseconds time) {
                command.interval = std::max(time, std::chrono::milliseconds(100));
              });
}

// Without a subcommand it is its status.
CLI::App& AddCluster(Program& program) {
  auto command = std::make_shared<ClusterStatusCommand>();
  CLI::App& cluster = *program.app.add_subcommand(
      "cluster", "The coordinators that share one log: who is there, and who has what");
  cluster.require_subcommand(0, 1);
  AddStatusFlags(cluster, *command);
  Examples(cluster, {"assentctl cluster", "assentctl cluster --watch",
                     "assentctl cluster locate order-17", "assentctl cluster drain b --wait"});
  CLI::App& status =
      *cluster.add_subcommand("status", "The members, their slots and load, and who is silent");
  AddStatusFlags(status, *command);
  Examples(status, {"assentctl cluster status", "assentctl cluster status --watch --interval 500ms",
                    "assentctl cluster status -o json | jq '.members[] | {node, slots}'"});
  cluster.callback([command, &cluster, &status, &program] {
    const auto below = cluster.get_subcommands();
    if (below.empty() || below.front() == &status) {
      program.command = *command;
    } else if (command->watch) {
      throw CLI::ValidationError("--watch", "is for cluster status");
    }
  });
  return cluster;
}

// What no transaction is called is in no slot.
std::string GidFault(const std::string& gid) {
  if (gid.empty()) return "is empty";
  if (FaultOf(gid, kGidRule) == NameFault::kNone) return "";
  return "'" + Visible(gid) + "' is no gid: it takes 1 to " + std::to_string(kGidRule.max_bytes) +
         " of " + std::string(kGidRule.allowed());
}

CLI::Option* AddGid(CLI::App& app, const char* name, std::string& gid, const char* description) {
  return app.add_option(name, gid, description)->type_name("GID")->check(GidFault);
}

void AddLocate(CLI::App& cluster, Program& program) {
  auto command = std::make_shared<LocateCommand>();
  CLI::App& locate = *cluster.add_subcommand(
      "locate", "Which member has a transaction, or would have it if there were one");
  AddGid(locate, "GID", command->gid, "The transaction")->required();
  Examples(locate,
           {"assentctl cluster locate order-17", "assentctl cluster locate order-17 -o id"});
  locate.callback([command, &program] { program.command = *command; });
}

constexpr const char* kNoNode = "is empty: name a member, as assentctl cluster does";

CLI::Option* AddNode(CLI::App& app, std::string& node, const char* description) {
  return app.add_option("NODE", node, description)
      ->type_name("NODE")
      ->required()
      ->check([](const std::string& name) { return name.empty() ? kNoNode : ""; });
}

void AddDrain(CLI::App& cluster, Program& program) {
  auto command = std::make_shared<DrainCommand>();
  CLI::App& drain = *cluster.add_subcommand(
      "drain", "Let a member give its slots to the others, so that it can be stopped unnoticed");
  AddNode(drain, command->node, "The member");
  CLI::Option* undo = drain.add_flag("--undo", command->undo, "Let it take slots again");
  drain.add_flag("--wait", command->wait, "Wait until it has no slots any more")->excludes(undo);
  AddIntent(drain, command->intent, false);
  Examples(drain, {"assentctl cluster drain b --wait --reason 'new version'",
                   "assentctl cluster drain b --undo"});
  drain.callback([command, &program] { program.command = *command; });
}

// "17" or "0-99".
Status ReadSlots(const std::string& text, std::vector<std::uint32_t>& slots) {
  const std::size_t dash = text.find('-');
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  const auto read = [](const std::string& number, std::uint16_t& slot) {
    return !number.empty() && number.find_first_not_of("0123456789") == std::string::npos &&
           CLI::detail::lexical_cast(number, slot);
  };
  const bool is_range = dash != std::string::npos;
  if (!read(text.substr(0, dash), first) || !read(is_range ? text.substr(dash + 1) : text, last) ||
      last < first) {
    return InvalidArgument("'" + text + "' is no slot, and no range such as 0-99");
  }
  for (std::uint32_t slot = first; slot <= last; ++slot) slots.push_back(slot);
  return OkStatus();
}

void AddMove(CLI::App& cluster, Program& program) {
  auto command = std::make_shared<MoveCommand>();
  CLI::App& move = *cluster.add_subcommand("move",
                                           "Let single slots go to another member, and stay with "
                                           "it; their owner gives them when it can");
  // One argument: CLI11 gives all words to a list that is not the last.
  auto words = std::make_shared<std::vector<std::string>>();
  move.add_option("[SLOT...] NODE", *words,
                  "Slots, numbers or ranges such as 0-99, and to whom they go")
      ->type_name("NODE")
      ->required();
  AddGid(move, "--gid", command->gid, "The slot of this transaction");
  AddIntent(move, command->intent, false);
  Examples(move, {"assentctl cluster move 17 100-199 c --reason 'b has too much'",
                  "assentctl cluster move --gid order-17 c"});
  move.callback([command, words, &program] {
    command->node = words->back();
    if (command->node.empty()) throw CLI::ValidationError("NODE", kNoNode);
    for (std::size_t i = 0; i + 1 < words->size(); ++i) {
      const Status read = ReadSlots((*words)[i], command->slots);
      if (!read.ok()) throw CLI::ValidationError("SLOT", read.message());
    }
    if (command->slots.empty() == command->gid.empty()) {
      throw CLI::ValidationError("SLOT", "name the slots, or --gid");
    }
    program.command = *command;
  });
}

void AddUnpin(CLI::App& cluster, Program& program) {
  auto command = std::make_shared<UnpinCommand>();
  CLI::App& unpin = *cluster.add_subcommand(
      "unpin", "What was moved need not stay there any more: slots are balanced as all others");
  auto words = std::make_shared<std::vector<std::string>>();
  unpin.add_option("SLOT", *words, "Slots, numbers or ranges such as 0-99")->type_name("SLOT");
  AddGid(unpin, "--gid", command->gid, "The slot of this transaction");
  unpin.add_option("--node", command->node, "All that was moved to this member")->type_name("NODE");
  unpin.add_flag("--all", command->all, "All that was moved to anybody");
  AddIntent(unpin, command->intent, false);
  Examples(unpin, {"assentctl cluster unpin 17 100-199 --reason 'b is well again'",
                   "assentctl cluster unpin --node c"});
  unpin.callback([command, words, &program] {
    for (const std::string& word : *words) {
      const Status read = ReadSlots(word, command->slots);
      if (!read.ok()) throw CLI::ValidationError("SLOT", read.message());
    }
    if (int{!command->slots.empty()} + int{!command->gid.empty()} + int{!command->node.empty()} +
            int{command->all} !=
        1) {
      throw CLI::ValidationError("SLOT", "name the slots, or one of --gid, --node, --all");
    }
    program.command = *command;
  });
}

void AddFence(CLI::App& cluster, Program& program) {
  auto command = std::make_shared<FenceCommand>();
  CLI::App& fence = *cluster.add_subcommand(
      "fence",
      "End a member that is believed dead, at once; one that lives exits with code 75 and loses "
      "nothing. Asks first");
  AddNode(fence, command->node, "The member");
  AddIntent(fence, command->intent, true);
  Examples(fence, {"assentctl cluster fence b --dry-run",
                   "assentctl cluster fence b --reason 'its machine burns' --yes"});
  fence.callback([command, &program] { program.command = *command; });
}

void AddRestored(CLI::App& cluster, Program& program) {
  auto command = std::make_shared<RestoredCommand>();
  CLI::App& restored = *cluster.add_subcommand(
      "restored",
      "Say that the log was put back to an older state (a snapshot of its disk), before the first "
      "coordinator starts on it; asks first");
  restored
      .add_option("LOG", command->log, "postgresql://USER@HOST:PORT/DATABASE, as assentd's --log")
      ->type_name("LOG")
      ->required();
  restored.add_flag("-n,--dry-run", command->dry_run, "Look, and change nothing");
  restored.add_flag("-y,--yes", command->yes, "Do not ask");
  Examples(restored, {"assentctl cluster restored postgresql://assent@db/assent --dry-run",
                      "assentctl cluster restored postgresql://assent@db/assent --yes"});
  restored.callback([command, &program] { program.command = *command; });
}

void AddMigrate(Program& program) {
  auto command = std::make_shared<MigrateCommand>();
  CLI::App& migrate = *program.app.add_subcommand(
      "migrate",
      "Move the whole log from SQLite to PostgreSQL or back, while no coordinator runs; run it "
      "again if it dies");
  const char* places = "sqlite:FOLDER (assentd's --data) or postgresql://USER@HOST:PORT/DATABASE";
  migrate.add_option("--from", command->from, std::string("Where it is: ") + places)
      ->type_name("LOG")
      ->required();
  migrate.add_option("--to", command->to, "Where it goes: the other of the two")
      ->type_name("LOG")
      ->required();
  Examples(migrate,
           {"assentctl migrate --from sqlite:/var/lib/assent --to postgresql://assent@db/assent",
            "assentctl migrate --from postgresql://assent@db/assent --to sqlite:/var/lib/assent2"});
  migrate.callback([command, &program] { program.command = *command; });
}

}  // namespace

void AddClusterCommands(Program& program) {
  CLI::App& cluster = AddCluster(program);
  AddLocate(cluster, program);
  AddDrain(cluster, program);
  AddMove(cluster, program);
  AddUnpin(cluster, program);
  AddFence(cluster, program);
  AddRestored(cluster, program);
  AddMigrate(program);
}

}  // namespace assent::ctl

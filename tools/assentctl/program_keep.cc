// backup, and what is done to a log that no coordinator has.

#include <memory>

#include "tools/assentctl/program.h"

namespace assent::ctl {
namespace {

void AddBackup(Program& program) {
  auto command = std::make_shared<BackupCommand>();
  CLI::App& backup = *program.app.add_subcommand(
      "backup",
      "Make a copy of a coordinator's log, of one moment, while it works: a new folder on this "
      "machine, read back row by row before it has its name");
  backup.add_option("DEST", command->folder, "The folder; there must be none yet")
      ->type_name("DEST")
      ->required();
  Examples(backup, {"assentctl backup /backups/assent-$(date +%F)",
                    "assentctl --endpoint assent.example:7400 backup /backups/today -o json"});
  backup.callback([command, &program] { program.command = *command; });
}

}  // namespace

void AddKeepingCommands(Program& program) { AddBackup(program); }

}  // namespace assent::ctl

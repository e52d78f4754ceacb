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

void AddConfig(Program& program) {
  auto command = std::make_shared<ConfigShowCommand>();
  CLI::App& config = *program.app.add_subcommand("config", "What a coordinator runs with");
  config.require_subcommand(1);
  Examples(config, {"assentctl config show"});
  CLI::App& show = *config.add_subcommand(
      "show", "Every setting of a coordinator that runs, and where it comes from");
  show.add_flag("--changed", command->changed, "Only those that are not at their default");
  Examples(show, {"assentctl config show", "assentctl config show --changed",
                  "assentctl --endpoint assent.example:7400 config show -o json"});
  show.callback([command, &program] { program.command = *command; });
}

void AddDebugBundle(Program& program) {
  auto command = std::make_shared<DebugBundleCommand>();
  CLI::App& bundle = *program.app.add_subcommand("debug-bundle",
                                                 "What a coordinator says of itself, in one file "
                                                 "to hand on; no payload, result, header, label "
                                                 "or password is in it");
  bundle.add_option("FILE", command->file, "The archive (tar); there must be none yet")
      ->type_name("FILE")
      ->required();
  bundle
      .add_option("--log-file", command->log,
                  "With the last of these lines, if assentd's log is kept in a file here")
      ->type_name("FILE");
  Examples(bundle, {"assentctl debug-bundle assent-$(date +%F).tar",
                    "journalctl -u assentd -n 5000 > assentd.log && "
                    "assentctl debug-bundle assent.tar --log-file assentd.log"});
  bundle.callback([command, &program] { program.command = *command; });
}

void AddRestore(Program& program) {
  auto command = std::make_shared<RestoreCommand>();
  CLI::App& restore = *program.app.add_subcommand(
      "restore",
      "Make a log of a backup, of which nothing is presumed about what happened since; says what "
      "was unfinished, and what becomes of it");
  restore.add_option("BACKUP", command->backup, "A folder that backup has made")
      ->type_name("BACKUP")
      ->required();
  restore.add_option("--data", command->data, "The folder of the log: empty, or none yet")
      ->type_name("DIR")
      ->required();
  restore
      .add_option("--encryption-keys", command->keys,
                  "The file of keys of a backup that is sealed, as assentd has it")
      ->type_name("FILE");
  AddIntent(restore, command->intent, false);
  Examples(restore, {"assentctl restore /backups/today --data /var/lib/assent --dry-run",
                     "assentctl restore /backups/today --data /var/lib/assent"});
  restore.callback([command, &program] { program.command = *command; });
}

void AddDoctor(Program& program) {
  auto command = std::make_shared<DoctorCommand>();
  CLI::App& doctor = *program.app.add_subcommand(
      "doctor",
      "Look over the folder of a log that no coordinator has, and say what is wrong with it; or "
      "take a row out of service, when nothing else helps");
  doctor.add_option("--data", command->data, "The folder of the log")->type_name("DIR")->required();
  CLI::Option* out = doctor
                         .add_option("--out-of-service", command->out,
                                     "Take the row of this gid, or #NUMBER, out of service: nobody "
                                     "works on it, no start refuses it; asks first")
                         ->type_name("ROW");
  doctor
      .add_option("--put-back", command->back,
                  "Put a row back that was taken out of service, and that is not damaged; asks "
                  "first")
      ->type_name("ROW")
      ->excludes(out);
  doctor.add_flag("--bytes", command->bytes,
                  "With -o json: all that each row holds, payloads and results among it");
  doctor
      .add_option("--encryption-keys", command->keys,
                  "Look into what is sealed with this file of keys; without it rows are counted by "
                  "key")
      ->type_name("FILE");
  AddIntent(doctor, command->intent, true);
  Examples(doctor, {"assentctl doctor --data /var/lib/assent",
                    "assentctl doctor --data /var/lib/assent -o jsonl --bytes > rows.jsonl",
                    "assentctl doctor --data /var/lib/assent --out-of-service order-17 --reason "
                    "'damaged, ticket 812'"});
  doctor.callback([command, &program] { program.command = *command; });
}

// What both have.
void AddCertsOptions(CLI::App& app, CertsCommand& command) {
  app.add_option("--service", command.services, "A service that gets one; repeat it")
      ->allow_extra_args(false)
      ->type_name("NAME");
  app.add_option("--unary", command.unary,
                 "A service that is dialled (assentd --unary NAME=tls:HOST:PORT), and under which "
                 "name or address: its certificate is a server's too; repeat it")
      ->allow_extra_args(false)
      ->type_name("NAME=HOST");
  app.add_option("--host", command.hosts,
                 "A name or address under which the coordinator is dialled; repeat it "
                 "(default localhost, 127.0.0.1 and ::1)")
      ->allow_extra_args(false)
      ->type_name("HOST");
  app.add_option("--days", command.days, "How long they are valid (default 365)")
      ->type_name("DAYS")
      ->check(CLI::Range(1, 3650));
}

void AddCerts(Program& program) {
  CLI::App& certs = *program.app.add_subcommand("certs", "Certificates for a first try of TLS");
  certs.require_subcommand(1);
  Examples(certs, {"assentctl certs init ./certs --service payment",
                   "assentctl certs add ./certs --service stock"});

  auto first = std::make_shared<CertsCommand>();
  CLI::App& init = *certs.add_subcommand(
      "init",
      "Make a CA, and certificates of it for a coordinator, an operator and services; says what "
      "each is for, and overwrites nothing");
  init.add_option("DIR", first->folder, "The folder: empty, or none yet")
      ->type_name("DIR")
      ->required();
  AddCertsOptions(init, *first);
  init.add_option("--domain", first->domain,
                  "Of the names, spiffe://DOMAIN/payment (default assent)")
      ->type_name("DOMAIN");
  Examples(init, {"assentctl certs init ./certs --service payment --service inventory",
                  "assentctl certs init ./certs --host assent.example --domain shop"});
  init.callback([first, &program] { program.command = *first; });

  auto more = std::make_shared<CertsCommand>();
  more->is_new = false;
  CLI::App& add = *certs.add_subcommand(
      "add",
      "More certificates of the CA in DIR (ca.pem, ca.key), which `certs init` made, or a new one "
      "in place of one that ends");
  add.add_option("DIR", more->folder, "The folder with ca.pem and ca.key")
      ->type_name("DIR")
      ->required();
  AddCertsOptions(add, *more);
  add.add_option("--operator", more->people, "A person who gets one; repeat it")
      ->allow_extra_args(false)
      ->type_name("NAME");
  add.add_option("--coordinator", more->coordinators, "A coordinator that gets one; repeat it")
      ->allow_extra_args(false)
      ->type_name("NAME");
  add.add_option("--domain", more->domain, "Of the names (default that in the name of the CA)")
      ->type_name("DOMAIN");
  add.add_flag("--renew", more->renew,
               "Put a new one, with a new key, in the place of one that is there");
  Examples(add, {"assentctl certs add ./certs --service stock --operator ann",
                 "assentctl certs add ./certs --coordinator second --host 10.0.0.2",
                 "assentctl certs add ./certs --service payment --renew"});
  add.callback([more, &program] { program.command = *more; });
}

}  // namespace

void AddKeepingCommands(Program& program) {
  AddBackup(program);
  AddCerts(program);
  AddConfig(program);
  AddDebugBundle(program);
  AddRestore(program);
  AddDoctor(program);
}

}  // namespace assent::ctl

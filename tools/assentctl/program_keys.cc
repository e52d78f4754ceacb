// keys: the file under which a log is sealed.

#include <initializer_list>
#include <memory>

#include "tools/assentctl/program.h"

namespace assent::ctl {
namespace {

void AddOne(CLI::App& keys, Program& program, const char* name, const char* help,
            KeysCommand::Do what, std::initializer_list<const char*> examples) {
  auto command = std::make_shared<KeysCommand>();
  command->what = what;
  CLI::App& one = *keys.add_subcommand(name, help);
  one.add_option("FILE", command->file, "The file of --encryption-keys")
      ->type_name("FILE")
      ->required();
  if (what != KeysCommand::Do::kList) {
    one.add_option("ID", command->id,
                   what == KeysCommand::Do::kUse
                       ? "The key that writes from then on; plaintext: none"
                       : "What the key is called, in the log and in what doctor says: [a-z0-9-]")
        ->type_name("ID")
        ->required();
  }
  Examples(one, examples);
  one.callback([command, &program] { program.command = *command; });
}

}  // namespace

void AddKeysCommands(Program& program) {
  CLI::App& keys = *program.app.add_subcommand(
      "keys",
      "The file of keys under which a log is sealed: make one, add a key, say which one writes. "
      "No coordinator is asked; SIGHUP makes it read the file again");
  keys.require_subcommand(1);
  Examples(keys, {"assentctl keys init /etc/assent/keys k2026-11",
                  "assentctl keys add /etc/assent/keys k2027-05",
                  "assentctl keys use /etc/assent/keys k2027-05"});
  AddOne(keys, program, "init", "Make the file, with a new key that writes; overwrites nothing",
         KeysCommand::Do::kInit, {"assentctl keys init /etc/assent/keys k2026-11"});
  AddOne(keys, program, "add",
         "Add a new key, which reads alone until it is used; plaintext: let through what is in the "
         "clear, of a log that was not sealed until now",
         KeysCommand::Do::kAdd,
         {"assentctl keys add /etc/assent/keys k2027-05",
          "assentctl keys add /etc/assent/keys plaintext"});
  AddOne(keys, program, "use", "Say which key writes; the others read", KeysCommand::Do::kUse,
         {"assentctl keys use /etc/assent/keys k2027-05",
          "assentctl keys use /etc/assent/keys plaintext"});
  AddOne(keys, program, "list",
         "Say which keys the file has, and which of them writes; no key is shown. Which of them a "
         "log or a backup needs is said by doctor",
         KeysCommand::Do::kList, {"assentctl keys list /etc/assent/keys"});
}

}  // namespace assent::ctl

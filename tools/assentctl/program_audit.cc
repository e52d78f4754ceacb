// audit and what is below it (export, verify).

#include <memory>

#include "tools/assentctl/program.h"

namespace assent::ctl {
namespace {

void AddExport(CLI::App& audit, Program& program) {
  auto command = std::make_shared<AuditExportCommand>();
  CLI::App& exported = *audit.add_subcommand(
      "export", "All of it as it is kept, a line of JSON for each row, with its hash");
  exported
      .add_option("--after", command->after,
                  "A file of an export before: only what has come since; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  Examples(exported, {"assentctl audit export > audit.jsonl",
                      "assentctl audit export --after audit.jsonl >> audit.jsonl"});
  exported.callback([command, &program] { program.command = *command; });
}

void AddVerify(CLI::App& audit, Program& program) {
  auto command = std::make_shared<AuditVerifyCommand>();
  CLI::App& verify = *audit.add_subcommand(
      "verify",
      "Compute every hash again: exit 0 all fits, 1 something was changed or is missing (says the "
      "first row)");
  verify
      .add_option("--file", command->files,
                  "An export, or a coordinator's audit.db, in place of asking it; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  verify
      .add_option("--expect", command->expected,
                  "This row has to be there: CHAIN:NUMBER:HASH, as event=audit_head of the log and "
                  "a verify before say it; may be repeated")
      ->type_name("HEAD")
      ->allow_extra_args(false);
  Examples(verify, {"assentctl audit verify", "assentctl audit verify --file audit.jsonl",
                    "assentctl audit verify --expect deeds:42:5feceb66ffc86f38d952786c6d696c79c2db"
                    "c239dd4e91b46729d73a27fb57e9"});
  verify.callback([command, &program] { program.command = *command; });
}

void AddChoice(CLI::App& audit, v1::ListAuditRequest& request) {
  audit.add_option("GID", *request.mutable_gid(), "Only what was done to this transaction")
      ->type_name("GID");
  audit.add_option("--who", *request.mutable_who(), "Only by who begins so")->type_name("TEXT");
  audit
      .add_option("--verb", *request.mutable_verb(),
                  "Only retry, abort, suspend, resume, resolve, forget, backup, drain, undrain, "
                  "move, unpin, fence, restore, out-of-service, put-back, login, logout, reload")
      ->type_name("VERB");
  AddRead(audit, "--kind", "ENTRY",
          "Only deed, login, logout, reload, refused, start or stop (default the first four); may "
          "be repeated",
          [&request](const std::string& text) -> Status {
            request.add_kinds(text);
            return OkStatus();
          })
      ->trigger_on_parse();
}

}  // namespace

void AddAuditCommands(Program& program) {
  auto command = std::make_shared<AuditCommand>();
  v1::ListAuditRequest& request = command->request;
  CLI::App& audit = *program.app.add_subcommand(
      "audit", "What people did, or wanted to: who, why, how it stood before, what came of it");
  audit.require_subcommand(0, 1);
  AddChoice(audit, request);
  AddDuration(audit, "--since", "Only what was asked for in that time",
              [command = command.get()](std::chrono::milliseconds ago) { command->since = ago; });
  audit.add_flag_callback(
      "--refused", [&request] { request.set_refused(true); },
      "Only what was refused, or failed; also calls that were not let in");
  AddPageSize(audit, "Entries per page (default 50, at most 1000)",
              [&request](std::uint32_t size) { request.set_page_size(size); });
  audit
      .add_option("--page-token", *request.mutable_page_token(), "Where the page before this ended")
      ->type_name("TOKEN");
  audit.add_flag("--all-pages", command->all_pages, "Every page, not only one");
  Examples(audit, {"assentctl audit", "assentctl audit order-17 -o wide",
                   "assentctl audit --since 1d --who ann@ --all-pages -o jsonl",
                   "assentctl audit --refused --verb abort", "assentctl audit verify"});
  audit.callback([command, &audit, &program] {
    if (audit.get_subcommands().empty()) program.command = *command;
  });
  AddExport(audit, program);
  AddVerify(audit, program);
}

}  // namespace assent::ctl

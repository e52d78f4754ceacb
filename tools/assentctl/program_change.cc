// The commands that change something (submit, retry, abort, suspend, resume, resolve, forget), and
// completion.

#include <memory>

#include "tools/assentctl/program.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

void AddSubmit(Program& program) {
  auto command = std::make_shared<SubmitCommand>();
  CLI::App& submit = *program.app.add_subcommand(
      "submit",
      "Submit a transaction from a JSON file and wait for it; exit codes as for wait. TRACEPARENT "
      "in the environment (W3C Trace Context) puts it into that trace");
  submit.add_option("FILE", command->path, "The file; - or nothing: standard input")
      ->type_name("FILE");
  submit
      .add_option("--gid", command->gid,
                  "Its gid, over the file's; the same gid twice is the same transaction")
      ->type_name("TEXT")
      ->check([](const std::string& gid) {
        return gid.empty() ? "is empty; without it, and without one in the file, one is drawn" : "";
      });
  AddRead(submit, "--for", "FOR", "accepted, decided or completed (default completed)",
          [command = command.get()](const std::string& text) -> Status {
            if (text == "accepted")
              command->wait.wait_for = v1::WAIT_ACCEPTED;
            else if (text == "decided")
              command->wait.wait_for = v1::WAIT_DECIDED;
            else if (text == "completed")
              command->wait.wait_for = v1::WAIT_COMPLETED;
            else
              return NotOneOf(text, {"accepted", "decided", "completed"});
            return OkStatus();
          });
  submit.add_flag("--patient", command->wait.patient, "Wait on when it needs a human");
  submit.add_flag("-n,--dry-run", command->dry_run,
                  "Only check the file, and print what would be submitted");
  Examples(submit, {"assentctl submit order.json",
                    "assentctl submit --gid order-17 --for decided < order.json",
                    "echo '{\"branches\": [{\"protocol\": \"saga\", \"service\": \"mail\", "
                    "\"action\": \"send\", "
                    "\"payload\": {\"to\": 7}}]}' | assentctl submit"});
  submit.callback([command, &program] { program.command = *command; });
}

void AddBreaker(Program& program) {
  CLI::App& breaker = *program.app.add_subcommand(
      "breaker",
      "Leave a service, or one of its instances, alone by hand; participants -o wide shows how "
      "they stand");
  breaker.require_subcommand(1);
  Examples(breaker, {"assentctl breaker open payment payment-2 --reason 'its disk is full'",
                     "assentctl breaker auto payment payment-2"});
  const auto add = [&](const char* name, v1::SetBreakerRequest::Mode mode, const char* description,
                       const char* example) {
    auto command = std::make_shared<BreakerCommand>();
    command->request.set_mode(mode);
    CLI::App& sub = *breaker.add_subcommand(name, description);
    sub.add_option("SERVICE", *command->request.mutable_service(), "The service")
        ->type_name("SERVICE")
        ->required();
    sub.add_option("INSTANCE", *command->request.mutable_instance(),
                   "One of its instances, by name or address; without: the service as a whole")
        ->type_name("TEXT");
    AddIntent(sub, command->intent, false);
    Examples(sub, {example});
    sub.callback([command, &program] { program.command = *command; });
  };
  add("open", v1::SetBreakerRequest::OPEN,
      "Nothing new is sent: what comes waits. Until close or auto, or the coordinator's next start",
      "assentctl breaker open payment payment-2 --reason 'its disk is full'");
  add("close", v1::SetBreakerRequest::CLOSED, "It gets what there is, whatever fails",
      "assentctl breaker close payment --reason 'slow, but alive'");
  add("auto", v1::SetBreakerRequest::AUTO, "It opens and closes by itself, as its policy says",
      "assentctl breaker auto payment payment-2");
}

struct VerbText {
  Verb verb;
  const char* name;
  const char* description;
  const char* example;
  const char* batch_example;
};

void AddVerb(Program& program, const VerbText& text) {
  auto command = std::make_shared<OperateCommand>();
  command->verb = text.verb;
  CLI::App& sub = *program.app.add_subcommand(text.name, text.description);
  sub.add_option("GID", command->gids,
                 "The transactions; - reads them from standard input, one per line")
      ->type_name("GID");
  sub.add_flag("--all", command->all,
               "All that match the filters, in place of gids: they are counted and shown, then it "
               "asks");
  AddFilters(sub, command->which);
  AddIntent(sub, command->intent, /*asks=*/true);
  Examples(sub, {text.example, text.batch_example});
  sub.callback([command, &program] {
    if (!command->all && command->gids.empty())
      throw CLI::ValidationError("GID", "is missing: name transactions, or --all and filters");
    if (command->all && !command->gids.empty())
      throw CLI::ValidationError("--all", "stands in place of gids, not beside them");
    if (!command->all && command->which.ByteSizeLong() > 0)
      throw CLI::ValidationError("--all", "is missing: filters choose among all, not among gids");
    program.command = *command;
  });
}

Status ReadDecision(const std::string& text, v1::Decision& decision) {
  if (text == "commit") {
    decision = v1::DECISION_COMMIT;
  } else if (text == "abort") {
    decision = v1::DECISION_ABORT;
  } else {
    return NotOneOf(text, {"commit", "abort"});
  }
  return OkStatus();
}

// GID BRANCH DECISION, or with --all DECISION alone.
void ReadWhatToResolve(ResolveCommand& command, std::string decision) {
  if (command.all) {
    if (!command.branch_id.empty())
      throw CLI::ValidationError("--all", "stands in place of GID and BRANCH, not beside them");
    decision.swap(command.gid);
    if (command.which.service().empty() && command.which.cause().empty())
      throw CLI::ValidationError("--all", "wants --service or --cause: whose branches are meant");
  } else if (command.which.ByteSizeLong() > 0) {
    throw CLI::ValidationError("--all", "is missing: filters choose among all, not in one");
  } else if (command.gid.empty() || command.branch_id.empty()) {
    throw CLI::ValidationError(command.gid.empty() ? "GID" : "BRANCH",
                               "is missing: name one branch, or --all and filters");
  }
  if (decision.empty()) throw CLI::ValidationError("DECISION", "is missing: commit or abort");
  const Status read = ReadDecision(decision, command.resolution);
  if (!read.ok()) throw CLI::ValidationError("DECISION", read.message());
}

void AddResolve(Program& program) {
  auto command = std::make_shared<ResolveCommand>();
  CLI::App& resolve = *program.app.add_subcommand(
      "resolve",
      "Declare by hand what happened to a branch; says what that means in its protocol, then asks");
  resolve.add_option("GID", command->gid, "The transaction")->type_name("GID");
  resolve.add_option("BRANCH", command->branch_id, "The branch's id")->type_name("BRANCH");
  auto decision = std::make_shared<std::string>();
  resolve.add_option("DECISION", *decision, "commit or abort")->type_name("DECISION");
  resolve.add_flag("--all", command->all,
                   "Each branch of --service, or of the service that --cause is about, that waits "
                   "for it in vain, in all that match; in place of GID and BRANCH");
  AddFilters(resolve, command->which);
  AddIntent(resolve, command->intent, true);
  Examples(resolve,
           {"assentctl resolve order-17 2 commit --reason 'seen in the bank statement'",
            "assentctl resolve order-17 2 abort --dry-run",
            "assentctl resolve --all --service paymnet abort --reason 'there is no such service'"});
  resolve.callback([command, decision, &program] {
    ReadWhatToResolve(*command, *decision);
    program.command = *command;
  });
}

void AddCompletion(Program& program) {
  auto command = std::make_shared<CompletionCommand>();
  CLI::App& completion =
      *program.app.add_subcommand("completion", "The completion script for a shell");
  AddRead(completion, "SHELL", "SHELL", "bash, zsh or fish",
          [command = command.get()](const std::string& text) -> Status {
            if (text == "bash")
              command->shell = Shell::kBash;
            else if (text == "zsh")
              command->shell = Shell::kZsh;
            else if (text == "fish")
              command->shell = Shell::kFish;
            else
              return NotOneOf(text, {"bash", "zsh", "fish"});
            return OkStatus();
          })
      ->required();
  Examples(completion,
           {"source <(assentctl completion bash)", "assentctl completion zsh > ~/.zfunc/_assentctl",
            "assentctl completion fish > ~/.config/fish/completions/assentctl.fish"});
  completion.callback([command, &program] { program.command = *command; });
}

void AddMan(Program& program) {
  CLI::App& man = *program.app.add_subcommand("man",
                                              "The manual page, all that --help says of "
                                              "every command, for man(1)");
  Examples(man, {"assentctl man | man -l -", "assentctl man > assentctl.1"});
  man.callback([&program] { program.command = ManCommand(); });
}

}  // namespace

void AddIntent(CLI::App& command, Intent& intent, bool asks) {
  command.add_flag("-n,--dry-run", intent.dry_run, "Say what would happen, do nothing");
  command.add_option("--reason", intent.reason, "Why, for the record")->type_name("TEXT");
  command.add_option("--who", intent.who, "Who, for the record (default $USER@host)")
      ->type_name("TEXT");
  command.add_flag("-y,--yes", intent.yes,
                   asks ? "Do not ask; without a terminal, what would ask needs it"
                        : "Accepted; this command never asks");
}

void AddChangingCommands(Program& program) {
  AddSubmit(program);
  AddVerb(program, {Verb::kRetry, "retry", "Try at once what is waiting",
                    "assentctl retry order-17 order-18 --reason 'inventory is back'",
                    "assentctl retry --all --service payment --reason 'payment is back'"});
  AddVerb(program,
          {Verb::kAbort, "abort", "Abort transactions that are not decided yet; asks first",
           "assentctl abort order-17 --reason 'customer called' --yes",
           "assentctl abort --all --cause c01d8812f3b --reason 'misspelt service' --dry-run"});
  AddVerb(program, {Verb::kSuspend, "suspend", "Send nothing more for transactions until resume",
                    "assentctl suspend order-17 --reason 'inventory is being repaired'",
                    "assentctl suspend --all --service inventory --reason 'it is being repaired'"});
  AddVerb(program, {Verb::kResume, "resume", "Let suspended transactions go on",
                    "assentctl resume order-17", "assentctl resume --all --service inventory"});
  AddResolve(program);
  AddBreaker(program);
  AddVerb(program, {Verb::kForget, "forget",
                    "Remove finished transactions from the history before their time; asks first",
                    "assentctl forget order-17 --yes",
                    "assentctl forget --all --outcome aborted --label test=yes --yes"});
  AddCompletion(program);
  AddMan(program);
}

}  // namespace assent::ctl

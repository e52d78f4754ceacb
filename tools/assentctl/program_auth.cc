// auth: tokens, and what rules say.

#include <memory>

#include "tools/assentctl/program.h"

namespace assent::ctl {

void AddAuthCommands(Program& program) {
  CLI::App& auth = *program.app.add_subcommand(
      "auth", "Who may what: make a token, or ask a file of rules. No coordinator is asked");
  auth.require_subcommand(1);
  Examples(auth, {"assentctl auth token support --until 2027-01-31",
                  "assentctl auth explain --rules /etc/assent/rules token:support retry"});

  auto token = std::make_shared<AuthTokenCommand>();
  CLI::App& make = *auth.add_subcommand(
      "token",
      "Make a token: it is told once, and what is kept of it cannot be turned back into it");
  make.add_option("NAME", token->name, "Whoever shows it is token:NAME")
      ->type_name("NAME")
      ->required();
  make.add_option("--until", token->until, "Its last day, in UTC; none: it does not end")
      ->type_name("YYYY-MM-DD");
  make.add_option("--append", token->append,
                  "Add its line to this file of --auth-tokens, and tell the token alone")
      ->type_name("FILE");
  Examples(make, {"assentctl auth token support --until 2027-01-31",
                  "assentctl auth token dashboard --append /etc/assent/tokens > dashboard.token"});
  make.callback([token, &program] { program.command = *token; });

  auto explain = std::make_shared<AuthExplainCommand>();
  CLI::App& ask = *auth.add_subcommand(
      "explain", "Whether rules allow somebody something, and by which line; 0: yes, 6: no");
  ask.add_option("IDENTITY", explain->identity, "As rules name it; anyone: who is not known")
      ->type_name("IDENTITY")
      ->required();
  ask.add_option("VERB", explain->verb, "begin, show, list, retry, forget, serve, ...")
      ->type_name("VERB")
      ->required();
  ask.add_option("--rules", explain->rules, "The file of --auth-rules")
      ->type_name("FILE")
      ->required();
  ask.add_option("--service", explain->service, "Of begin and serve")->type_name("NAME");
  ask.add_option("--action", explain->action, "Of begin")->type_name("NAME");
  ask.add_option("--gid", explain->gid, "Of begin")->type_name("GID");
  Examples(ask, {"assentctl auth explain --rules /etc/assent/rules token:support retry",
                 "assentctl auth explain --rules /etc/assent/rules spiffe://shop/checkout begin "
                 "--service payment --action charge --gid order-17"});
  ask.callback([explain, &program] { program.command = *explain; });
}

}  // namespace assent::ctl

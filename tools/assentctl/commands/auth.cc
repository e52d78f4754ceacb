// Who may what: tokens, and what a file of rules says of somebody. No coordinator is asked.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>

#include <sys/random.h>
#include <sys/stat.h>

#include "coordinator/security/guard.h"
#include "coordinator/security/rules.h"
#include "coordinator/security/tokens.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/new_file.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

using security::Permission;

void Show(const Json& json, const std::string& text, Session& session) {
  switch (session.options.output) {
    case Output::kJson: return session.console.Out(PrettyJson(json));
    case Output::kJsonl: return session.console.Out(LineJson(json));
    case Output::kYaml: return session.console.Out(Yaml(json));
    case Output::kTable:
    case Output::kWide:
    case Output::kId: return session.console.Out(text);
  }
}

// One that is there keeps its owner and its mode, or assentd could not read it any more.
bool TakeOver(const std::string& from, const std::string& to) {
  struct stat there {};
  if (::stat(from.c_str(), &there) != 0) return errno == ENOENT;
  return ::chown(to.c_str(), there.st_uid, there.st_gid) == 0 &&
         ::chmod(to.c_str(), there.st_mode & ALLPERMS) == 0;
}

// To a file that only its owner reads, if it is new. Nothing of a line is written where the tokens
// would not be understood any more, or are not known.
Status Append(const std::string& file, const std::string& line, Console& console) {
  std::string before;
  std::error_code error;
  if (std::filesystem::exists(file, error) || error) {
    Result<std::string> there = console.ReadFile(file);
    if (!there.ok()) return there.status();
    before = *std::move(there);
  }
  if (!before.empty() && before.back() != '\n') before += '\n';
  if (const auto whole = security::Tokens::Parse(before + line + "\n"); !whole.ok())
    return FailedPrecondition(file + ": with this token, " + whole.status().message());
  const std::string fresh = file + ".new";
  if (const int failed = WriteNewFile(fresh, before + line + "\n", 0600); failed != 0)
    return FailedPrecondition(fresh + " cannot be made: " + std::strerror(failed));
  if (TakeOver(file, fresh) && ::rename(fresh.c_str(), file.c_str()) == 0) return OkStatus();
  const Status failed = Internal(file + " cannot be written: " + std::strerror(errno));
  ::unlink(fresh.c_str());
  return failed;
}

struct NamedVerb {
  const char* name;
  Permission needs;
};
// As people call it.
constexpr NamedVerb kVerbs[] = {
    {"abort", Permission::kOperate},     {"audit", Permission::kReadRecord},
    {"backup", Permission::kAdminister}, {"begin", Permission::kBegin},
    {"drain", Permission::kAdminister},  {"events", Permission::kLook},
    {"fence", Permission::kAdminister},  {"forget", Permission::kAdminister},
    {"hand-on", Permission::kHandOn},    {"list", Permission::kFollow},
    {"metrics", Permission::kLook},      {"move", Permission::kAdminister},
    {"participants", Permission::kLook}, {"resolve", Permission::kOperate},
    {"resume", Permission::kOperate},    {"retry", Permission::kOperate},
    {"serve", Permission::kServe},       {"show", Permission::kFollow},
    {"suspend", Permission::kOperate},   {"wait", Permission::kFollow},
};

std::optional<Permission> NeededFor(const std::string& verb) {
  const auto* const found = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                         [&](const NamedVerb& one) { return verb == one.name; });
  if (found == std::end(kVerbs)) return {};
  return found->needs;
}

struct Explained {
  bool may = false;
  const security::Rule* rule = nullptr;
  std::string why;
};

Explained Explain(const AuthExplainCommand& command, const security::Grants& grants,
                  Permission needs) {
  Explained explained;
  explained.rule = grants.RuleFor(needs);
  if (explained.rule == nullptr) {
    explained.why = "it has " + grants.Roles() + ", and may not " + std::string(Name(needs));
    return explained;
  }
  explained.may = true;
  if (needs == Permission::kBegin && !command.service.empty()) {
    explained.may = grants.MayBegin(command.gid, command.service, command.action);
    if (!explained.may)
      explained.why = "no rule of an initiator has this service, action and gid together";
  } else if (needs == Permission::kBegin && !command.gid.empty()) {
    explained.may = grants.MayBegin(command.gid);
    if (!explained.may) explained.why = "no rule of an initiator has this gid";
  } else if (needs == Permission::kServe && !command.service.empty()) {
    explained.may = grants.MayServe(command.service);
    if (!explained.may) explained.why = "no rule of a participant has this service";
  } else if (needs == Permission::kFollow && !grants.sees_all()) {
    explained.why = "of what it has begun itself";
  }
  return explained;
}

}  // namespace

Exit RunAuthToken(const AuthTokenCommand& command, Session& session) {
  std::string random(security::kTokenSecretBytes + security::kTokenSaltBytes, '\0');
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return FailOffline(Internal("there are no random bytes to be had"), session);
  const auto made = security::MakeToken(command.name, command.until, random);
  if (!made.ok()) return FailOffline(made.status(), session);
  // Of the same form, days are in order.
  const std::string today = FormatIso(session.console.NowUnixMs()).substr(0, 10);
  if (!command.until.empty() && command.until < today)
    session.console.Err("this token has ended already: its last day is " + command.until + "\n");
  if (!command.append.empty()) {
    if (const Status added = Append(command.append, made->line, session.console); !added.ok())
      return FailOffline(added, session);
    Show({{"token", made->token}, {"file", command.append}}, made->token + "\n", session);
    return Exit::kDone;
  }
  Show({{"token", made->token}, {"line", made->line}},
       "token  " + made->token + "\nline   " + made->line + "\n", session);
  session.console.Err(
      "the token is for whoever is to have it and is told this once; the line is for the file of "
      "--auth-tokens\n");
  return Exit::kDone;
}

Exit RunAuthExplain(const AuthExplainCommand& command, Session& session) {
  const std::optional<Permission> needs = NeededFor(command.verb);
  if (!needs) {
    std::string all;
    for (const NamedVerb& verb : kVerbs) all.append(all.empty() ? "" : ", ").append(verb.name);
    return FailOffline(InvalidArgument("VERB is one of " + all), session);
  }
  if (const Status named = security::CheckIdentity(command.identity); !named.ok())
    return FailOffline(named, session);
  const Result<std::string> text = session.console.ReadFile(command.rules);
  if (!text.ok()) return FailOffline(text.status(), session);
  const auto rules = security::Rules::Parse(*text);
  if (!rules.ok())
    return FailOffline(InvalidArgument(command.rules + ": " + rules.status().message()), session);
  const bool unknown = command.identity == "anyone";
  // Of "unix" it is what every user of the machine may.
  const bool any_user = command.identity == "unix";
  const security::Grants grants = rules->For(unknown    ? ""
                                             : any_user ? security::kUnixUser
                                                        : command.identity);
  const Explained explained = Explain(command, grants, *needs);
  Json json{{"identity", command.identity},
            {"verb", command.verb},
            {"may", explained.may},
            {"roles", grants.Roles()},
            {"limits", grants.quota().Text()},
            {"why", explained.why}};
  std::string said = explained.may ? "yes" : "no";
  if (!explained.why.empty()) said += ": " + explained.why;
  if (explained.may && explained.rule != nullptr) {
    json["line"] = explained.rule->line;
    json["rule"] = explained.rule->text;
    said +=
        "\n  line " + std::to_string(explained.rule->line) + ": " + Visible(explained.rule->text);
  }
  if (!grants.quota().empty()) said += "\n  limits: " + grants.quota().Text();
  Show(json, said + "\n", session);
  return explained.may ? Exit::kDone : Exit::kNotPermitted;
}

}  // namespace assent::ctl

// A log that no coordinator has: what is wrong with it, and single rows out of service and back.

#include "coordinator/offline/doctor.h"

#include <utility>

#include "proto/json/bytes.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/perform.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

using Grade = offline::Finding::Grade;

const char* Word(Grade grade) {
  switch (grade) {
    case Grade::kSound: return "ok";
    case Grade::kNotice: return "look";
    case Grade::kDamaged: return "DAMAGED";
  }
  return "";
}

const char* Verdict(const offline::Examined& examined) {
  if (examined.lacks_keys && examined.worst != Grade::kDamaged) {
    return "a coordinator starts with the keys of these rows, and with no others (73): nothing is "
           "lost";
  }
  switch (examined.worst) {
    case Grade::kSound: return "sound: a coordinator can start with it";
    case Grade::kNotice: return "a coordinator can start with it; a person should look";
    case Grade::kDamaged:
      return "damaged: a coordinator refuses to start with it (65). Copy all files first. A row "
             "that is\nnamed above can be taken out of service, with --out-of-service ROW; "
             "anything "
             "else wants the\nfiles back, or a backup";
  }
  return "";
}

Exit ExitOf(Grade grade) {
  switch (grade) {
    case Grade::kSound: return Exit::kDone;
    case Grade::kNotice: return Exit::kNeedsHuman;
    case Grade::kDamaged: return Exit::kOther;
  }
  return Exit::kOther;
}

std::int64_t Unix(core::WallTime at) { return at.time_since_epoch().count(); }

Json Pairs(const core::StringPairs& pairs) {
  Json json = Json::object();
  for (const auto& [key, value] : pairs) json[key] = value;
  return json;
}

Json BranchJson(const core::BranchSpec& spec, const core::Branch& branch) {
  return {{"id", spec.id},
          {"protocol", Name(spec.protocol)},
          {"service", spec.service},
          {"action", spec.action},
          {"state", Name(branch.state)},
          {"attempts", branch.attempts},
          {"needs_operator", branch.needs_operator},
          {"hazard", branch.hazard},
          {"resolved", Name(branch.resolved)},
          {"last_error", branch.last_error},
          {"payload_bytes", spec.payload.size()},
          {"result_bytes", branch.result.size()}};
}

void AddTransaction(const core::Transaction& txn, Json& json) {
  json["state"] = Name(txn.phase());
  json["decision"] = Name(txn.decision());
  json["outcome"] = Name(txn.outcome());
  json["abort_reason"] = txn.abort_reason();
  json["suspended"] = txn.suspended();
  json["needs_operator"] = txn.needs_operator();
  json["began_epoch"] = txn.began_epoch();
  json["began_unix_ms"] = Unix(txn.began_at());
  json["deadline_unix_ms"] = Unix(txn.deadline_at());
  json["decided_unix_ms"] = Unix(txn.decided_at());
  json["finished_unix_ms"] = Unix(txn.finished_at());
  json["labels"] = Pairs(txn.spec().labels);
  Json branches = Json::array();
  for (std::size_t i = 0; i < txn.branches().size(); ++i)
    branches.push_back(BranchJson(txn.spec().branches[i], txn.branches()[i]));
  json["branches"] = std::move(branches);
  Json people = Json::array();
  for (const core::Intervention& one : txn.interventions()) {
    people.push_back({{"unix_ms", Unix(one.at)},
                      {"verb", one.verb},
                      {"branch_id", one.branch_id},
                      {"who", one.who},
                      {"reason", one.reason}});
  }
  json["interventions"] = std::move(people);
}

// `bytes`: all that the row has; payloads, results and headers are left out otherwise.
Json RowJson(const offline::Row& row, bool bytes) {
  Json json = {{"table", row.bytes.finished ? "finished" : "live"},
               {"row", row.bytes.serial},
               {"gid", row.bytes.gid},
               {"damage", row.bytes.damage},
               {"unreadable", row.unreadable}};
  if (row.out) {
    json["out_of_service"] = {{"who", row.out->actor.who},
                              {"reason", row.out->actor.reason},
                              {"unix_ms", Unix(row.out->at)},
                              {"was_sound", row.out->sound}};
  }
  if (row.txn) AddTransaction(*row.txn, json);
  if (!bytes) return json;
  json["version"] = row.bytes.version;
  json["commit_seq"] = row.bytes.commit_seq;
  json["gid_base64"] = json::ToBase64(row.out ? row.out->gid : row.bytes.gid);
  json["spec_base64"] = json::ToBase64(row.bytes.spec);
  json["state_base64"] = json::ToBase64(row.out ? row.out->state : row.bytes.state);
  return json;
}

Json Findings(const offline::Examined& examined) {
  Json findings = Json::array();
  for (const offline::Finding& one : examined.findings)
    findings.push_back({{"grade", Word(one.grade)}, {"what", one.what}, {"says", one.says}});
  return {{"verdict", Word(examined.worst)}, {"findings", std::move(findings)}};
}

std::string Words(const offline::Examined& examined) {
  std::string text;
  for (const offline::Finding& one : examined.findings) {
    std::string line = Word(one.grade);
    line.resize(9, ' ');
    line += one.what;
    line.resize(22, ' ');
    text += line + Visible(one.says) + "\n";
  }
  return text + Verdict(examined) + "\n";
}

// None without the setting.
Result<offline::KeysPtr> KeysOf(const DoctorCommand& command) {
  if (command.keys.empty()) return offline::KeysPtr();
  Result<crypt::Keys> keys = crypt::ReadKeys(command.keys);
  if (!keys.ok()) return keys.status();
  return offline::KeysPtr(std::make_shared<const crypt::Keys>(*std::move(keys)));
}

// Rows leave line by line, if that is asked for; else all is one document.
Exit Look(const DoctorCommand& command, Session& session) {
  const Style style = session.MakeStyle();
  const bool lines = style.output == Output::kJsonl;
  Json rows = Json::array();
  const Result<offline::KeysPtr> keys = KeysOf(command);
  if (!keys.ok()) return FailOffline(keys.status(), session);
  const auto examined = offline::Examine(command.data, *keys, [&](const offline::Row& row) {
    if (style.output == Output::kId && (row.out || !row.bytes.damage.empty())) {
      session.console.Out("#" + std::to_string(row.bytes.serial) + "\n");
    } else if (lines) {
      session.console.Out(LineJson(RowJson(row, command.bytes)));
    } else if (!style.table() && style.output != Output::kId) {
      rows.push_back(RowJson(row, command.bytes));
    }
  });
  if (!examined.ok()) return FailOffline(examined.status(), session);
  Json json = Findings(*examined);
  if (style.table()) {
    session.console.Out(Words(*examined));
  } else if (lines) {
    session.console.Out(LineJson(json));
  } else if (style.output != Output::kId) {
    json["rows"] = std::move(rows);
    session.console.Out(style.output == Output::kYaml ? Yaml(json) : PrettyJson(json));
  }
  return ExitOf(examined->worst);
}

constexpr char kOutMeaning[] =
    "Out of service, nobody works on it: its participants keep what they hold and are told "
    "CANNOT_TELL,\nwhoever asks for it is told by whom and why, and its gid does not begin anew. "
    "Its bytes stay in its row.\nCopy all files before.\n";
constexpr char kMaybeOfGid[] =
    "The damage may be in the gid: whoever asks about the true one is then told that it was "
    "aborted.\n";

// What would be changed, to whom; before anybody agrees to it.
Status Tell(const DoctorCommand& command, Session& session) {
  const std::string& name = command.out.empty() ? command.back : command.out;
  bool found = false;
  const Result<offline::KeysPtr> keys = KeysOf(command);
  if (!keys.ok()) return keys.status();
  const auto examined = offline::Examine(command.data, *keys, [&](const offline::Row& row) {
    if (name != row.bytes.gid && name != "#" + std::to_string(row.bytes.serial)) return;
    found = true;
    session.console.Err(std::string(row.bytes.finished ? "finished" : "unfinished") +
                        " transaction " + Visible(row.bytes.gid) + ", row " +
                        std::to_string(row.bytes.serial) + ": " +
                        Visible(!row.bytes.damage.empty() ? row.bytes.damage
                                : row.txn                 ? std::string(Name(row.txn->phase()))
                                                          : row.unreadable) +
                        "\n");
    const bool of_gid =
        row.bytes.finished || row.bytes.damage.find("gid or spec") != std::string::npos;
    if (!command.out.empty() && !row.bytes.damage.empty() && of_gid)
      session.console.Err(kMaybeOfGid);
  });
  if (!examined.ok()) return examined.status();
  if (!found) return NotFound(command.data + ": there is no row " + name);
  if (!command.out.empty()) session.console.Err(kOutMeaning);
  return OkStatus();
}

Exit Change(DoctorCommand command, Session& session) {
  const bool out = !command.out.empty();
  const std::string verb = out ? "doctor --out-of-service" : "doctor --put-back";
  if (command.intent.dry_run) {
    const Status told = Tell(command, session);
    return told.ok() ? Exit::kDone : FailOffline(told, session);
  }
  if (!command.intent.yes) {
    const bool can_ask = session.surroundings.in_is_terminal;
    if (const Status told = can_ask ? Tell(command, session) : OkStatus(); !told.ok())
      return FailOffline(told, session);
    const Exit agreed = AskConsent(
        verb, [] { return OkStatus(); }, can_ask, session);
    if (agreed != Exit::kDone) return agreed;
  }
  const Status reason = AskReason(verb, "what is wrong with it, a ticket", command.intent, session);
  if (!reason.ok()) return FailOffline(reason, session);
  const offline::Deed deed{
      out ? command.out : command.back, command.intent.reason,
      command.intent.who.empty() ? session.surroundings.who : command.intent.who};
  const Result<std::string> said =
      out ? offline::TakeOutOfService(command.data, deed) : offline::PutBack(command.data, deed);
  if (!said.ok()) return FailOffline(said.status(), session);
  session.console.Out(Visible(*said) + "\n");
  return Exit::kDone;
}

}  // namespace

// The usual hints are about transactions.
Exit FailOffline(const Status& status, Session& session) {
  session.console.Err("assentctl: " + Visible(status.message()) + "\n");
  return ExitFor(status.code());
}

Exit RunDoctor(const DoctorCommand& command, Session& session) {
  if (command.out.empty() && command.back.empty()) return Look(command, session);
  return Change(command, session);
}

}  // namespace assent::ctl

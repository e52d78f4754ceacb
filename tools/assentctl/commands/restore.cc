// A log of a backup. All that happens is in coordinator/offline.

#include "coordinator/offline/restore.h"

#include <filesystem>
#include <map>
#include <system_error>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

using Kind = offline::Unfinished::Kind;

// So many of a kind are named; -o json has all.
constexpr std::size_t kNamedCount = 20;

bool IsForAPerson(Kind kind) {
  return kind != Kind::kAsked && kind != Kind::kCommitting && kind != Kind::kAborting;
}

const char* Meaning(Kind kind) {
  switch (kind) {
    case Kind::kUndecided:
      return "may have been decided since, either way: held for a person, who asks their "
             "participants";
    case Kind::kAsked: return "their only branch decides, and is asked again";
    case Kind::kStepsLeft:
      return "committed; steps after the pivot may have been done since, and a participant that "
             "has forgotten would do them again: suspended until a person says resume";
    case Kind::kNeedsHuman:
      return "decided; a person may have settled them since: suspended until a person says resume";
    case Kind::kSuspended: return "decided, and suspended as they were";
    case Kind::kCommitting:
      return "committed, and that is carried out; who has done it and forgotten it refuses, and a "
             "person sees it";
    case Kind::kAborting: return "aborted, and that is carried out";
    case Kind::kUnreadable: return "out of service, or cannot be read: a start sets them aside";
  }
  return "";
}

Json Document(const RestoreCommand& command, const offline::Restored& restored) {
  Json unfinished = Json::array();
  for (const offline::Unfinished& one : restored.unfinished) {
    unfinished.push_back({{"gid", one.gid},
                          {"kind", Name(one.kind)},
                          {"for_a_person", IsForAPerson(one.kind)},
                          {"branches", one.branches}});
  }
  return {{"backup", command.backup},
          {"data", command.data},
          {"dry_run", command.intent.dry_run},
          {"made_unix_ms", restored.manifest.unix_ms},
          {"coordinator_id", restored.manifest.coordinator_id},
          {"finished", restored.manifest.finished},
          {"unfinished", std::move(unfinished)}};
}

std::string Words(const RestoreCommand& command, const offline::Restored& restored,
                  const Style& style) {
  std::map<Kind, std::vector<const offline::Unfinished*>> kinds;
  for (const offline::Unfinished& one : restored.unfinished) kinds[one.kind].push_back(&one);
  std::string text =
      std::string(command.intent.dry_run ? "(dry run) " : "") + Visible(command.data) +
      ": the log of coordinator " + std::to_string(restored.manifest.coordinator_id) + " as of " +
      Moment(restored.manifest.unix_ms, style) + ": " + std::to_string(restored.manifest.finished) +
      " finished, " + std::to_string(restored.unfinished.size()) + " unfinished transactions\n";
  for (const auto& [kind, all] : kinds) {
    text += "\n" + std::to_string(all.size()) + " " + Name(kind) + ": " + Meaning(kind) + "\n";
    for (std::size_t i = 0; i < all.size() && i < kNamedCount; ++i) {
      text += "  " + Visible(all[i]->gid) + ":";
      for (const std::string& branch : all[i]->branches) text += " " + Visible(branch) + ",";
      text.back() = '\n';
    }
    if (all.size() > kNamedCount)
      text += "  and " + std::to_string(all.size() - kNamedCount) + " more: -o json\n";
  }
  return text +
         "\nWhat began since is not in this log, and nothing is presumed of it: a participant that "
         "holds something\nof that time is told CANNOT_TELL, and a person decides it there. An "
         "initiator that repeats a gid of that\ntime runs it again. Never start the old log beside "
         "this one. Once a coordinator runs:\n"
         "  assentctl list --needs-operator    what is held\n"
         "  assentctl list --group-by why      what waits, and for what\n"
         "  assentctl show GID                 what is known of one, and who did what\n";
}

}  // namespace

Exit RunRestore(const RestoreCommand& command, Session& session) {
  std::error_code error;
  const auto absolute = [&error](const std::string& path) {
    std::string name = std::filesystem::absolute(path, error).lexically_normal().string();
    while (name.size() > 1 && name.back() == '/') name.pop_back();
    return name;
  };
  offline::RestoreOptions options;
  options.backup = absolute(command.backup);
  options.data = absolute(command.data);
  options.who = command.intent.who.empty() ? session.surroundings.who : command.intent.who;
  options.reason = command.intent.reason;
  options.dry_run = command.intent.dry_run;
  options.on_progress = [&session](const std::string& words) {
    session.console.Err(Visible(words) + "\n");
  };
  if (!command.keys.empty()) {
    Result<crypt::Keys> keys = crypt::ReadKeys(command.keys);
    if (!keys.ok()) return FailOffline(keys.status(), session);
    options.keys = std::make_shared<const crypt::Keys>(*std::move(keys));
  }
  const Result<offline::Restored> restored = offline::Restore(options);
  if (!restored.ok()) return FailOffline(restored.status(), session);
  const Style style = session.MakeStyle();
  Exit exit = Exit::kDone;
  for (const offline::Unfinished& one : restored->unfinished) {
    if (!IsForAPerson(one.kind)) continue;
    exit = Exit::kNeedsHuman;
    if (style.output == Output::kId) session.console.Out(Visible(one.gid) + "\n");
  }
  if (style.table()) {
    session.console.Out(Words(command, *restored, style));
  } else if (style.output != Output::kId) {
    const Json json = Document(command, *restored);
    session.console.Out(style.output == Output::kYaml    ? Yaml(json)
                        : style.output == Output::kJsonl ? LineJson(json)
                                                         : PrettyJson(json));
  }
  return exit;
}

}  // namespace assent::ctl

// The file of keys under which a log is sealed. A key is never shown.

#include "coordinator/crypt/keys.h"

#include <cstring>
#include <string>
#include <utility>

#include <sys/random.h>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/new_file.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

constexpr char kHeader[] =
    "# Keys of an assent log: whoever has them reads it, and without them nobody does.\n"
    "# Keep a copy away from the log and from its backups.\n";

Result<std::string> NewLine(const std::string& id) {
  std::string random(crypt::kKeyBytes, '\0');
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return Internal("there are no random bytes to be had");
  return crypt::MakeKeyLine(id, random);
}

Status Failed(const std::string& file, int error) {
  return FailedPrecondition(file + " cannot be written: " + std::strerror(error));
}

// The text that the file is to have.
Result<std::string> Changed(const KeysCommand& command, const std::string& before) {
  if (command.what == KeysCommand::Do::kUse) return crypt::WithActive(before, command.id);
  Result<std::string> line = NewLine(command.id);
  if (!line.ok()) return line;
  const Result<crypt::Keys> keys = crypt::Keys::Parse(before);
  if (!keys.ok()) return keys.status();
  if (keys->Find(command.id) != nullptr)
    return AlreadyExists("it has a key of this ID, under which rows may be");
  const std::string end = before.empty() || before.back() == '\n' ? "" : "\n";
  return before + end + *line + "\n";
}

Status Make(const KeysCommand& command) {
  if (command.what == KeysCommand::Do::kInit) {
    const Result<std::string> line = NewLine(command.id);
    if (!line.ok()) return line.status();
    const int failed = WriteNewFile(command.file, kHeader + *line + " active\n", 0600);
    return failed == 0 ? OkStatus() : Failed(command.file, failed);
  }
  const Result<std::string> before = crypt::ReadKeysFile(command.file);
  if (!before.ok()) return before.status();
  const Result<std::string> after = Changed(command, *before);
  if (!after.ok()) return {after.status().code(), command.file + ": " + after.status().message()};
  if (const auto whole = crypt::Keys::Parse(*after); !whole.ok()) return whole.status();
  const int failed = ReplaceFile(command.file, *after);
  return failed == 0 ? OkStatus() : Failed(command.file, failed);
}

}  // namespace

Exit RunKeys(const KeysCommand& command, Session& session) {
  if (const Status made = Make(command); !made.ok()) return FailOffline(made, session);
  const Result<crypt::Keys> keys = crypt::ReadKeys(command.file);
  if (!keys.ok()) return FailOffline(keys.status(), session);
  const std::string active =
      keys->active() == nullptr ? std::string(crypt::kPlaintext) : keys->active()->id();
  Json json{{"file", command.file}, {"active", active}, {"keys", Json::array()}};
  for (const crypt::Key& key : keys->all()) json["keys"].push_back(key.id());
  switch (session.options.output) {
    case Output::kJson: session.console.Out(PrettyJson(json)); break;
    case Output::kJsonl: session.console.Out(LineJson(json)); break;
    case Output::kYaml: session.console.Out(Yaml(json)); break;
    case Output::kTable:
    case Output::kWide:
    case Output::kId:
      session.console.Out("keys    " + keys->Names() + "\nactive  " + active + "\n");
  }
  if (command.what == KeysCommand::Do::kInit)
    session.console.Err("keep a copy away from the log: without the key nobody reads it\n");
  return Exit::kDone;
}

}  // namespace assent::ctl

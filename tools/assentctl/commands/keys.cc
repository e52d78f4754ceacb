// The file of keys under which a log is sealed. A key is never shown.

#include "coordinator/crypt/keys.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

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

// Holds the lock of a file that others replace: of the one that is there by then.
class Locked {
 public:
  explicit Locked(const std::string& path) {
    for (;;) {
      fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
      if (fd_ < 0 || ::flock(fd_, LOCK_EX) != 0) break;
      struct stat held {};
      struct stat there {};
      if (::fstat(fd_, &held) != 0 || ::stat(path.c_str(), &there) != 0) break;
      if (held.st_ino == there.st_ino && held.st_dev == there.st_dev) return;
      (void)::close(fd_);
    }
    error_ = errno;
  }
  ~Locked() {
    if (fd_ >= 0) (void)::close(fd_);
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  int error() const { return error_; }

 private:
  int fd_ = -1;
  int error_ = 0;
};

// The text that the file is to have.
Result<std::string> Changed(const KeysCommand& command, const std::string& before) {
  if (command.what == KeysCommand::Do::kUse) return crypt::WithActive(before, command.id);
  if (command.id == crypt::kPlaintext) return before + command.id + "\n";
  Result<std::string> line = NewLine(command.id);
  if (!line.ok()) return line;
  const Result<crypt::Keys> keys = crypt::Keys::Parse(before);
  if (!keys.ok()) return keys.status();
  if (keys->Find(command.id) != nullptr)
    return AlreadyExists("it has a key of this ID, under which rows may be");
  const std::string end = before.empty() || before.back() == '\n' ? "" : "\n";
  return before + end + *line + "\n";
}

// Changes the file at `path` while nobody else does: two at once would each lose the other's key.
Status Change(const KeysCommand& command, const std::string& path) {
  const Locked locked(path);
  if (locked.error() != 0) return Failed(path, locked.error());
  const Result<std::string> before = crypt::ReadKeysFile(path);
  if (!before.ok()) return before.status();
  const Result<std::string> after = Changed(command, *before);
  if (!after.ok()) return {after.status().code(), path + ": " + after.status().message()};
  if (const auto whole = crypt::Keys::Parse(*after); !whole.ok())
    return {whole.status().code(), path + ": " + whole.status().message()};
  const int failed = ReplaceFile(path, *after);
  return failed == 0 ? OkStatus() : Failed(path, failed);
}

Status Make(const KeysCommand& command) {
  if (command.what == KeysCommand::Do::kList) return OkStatus();
  if (command.what == KeysCommand::Do::kInit) {
    const Result<std::string> line = NewLine(command.id);
    if (!line.ok()) return line.status();
    const int failed = WriteNewFile(command.file, kHeader + *line + " active\n", 0600);
    return failed == 0 ? OkStatus() : Failed(command.file, failed);
  }
  // Of a link the file that it leads to.
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(command.file, error);
  return Change(command, error ? command.file : file.string());
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
  json["takes_plaintext"] = keys->takes_plaintext();
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

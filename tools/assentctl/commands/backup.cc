// A backup: received, written, read back. What is in it is coordinator/offline's to know.

#include <memory>
#include <optional>

#include "coordinator/offline/backup_folder.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// Progress is told so often.
constexpr std::chrono::milliseconds kProgressEvery{1'000};

// Writes down what arrives.
class Receiver {
 public:
  Receiver(offline::BackupWriter& writer, Console& console) : writer_(writer), console_(console) {}

  // False: it need not go on.
  bool Take(const v1::BackupPart& part) {
    if (part.of_bytes() > 0) Say("copied", part.copied_bytes(), part.of_bytes());
    if (!part.file().empty()) {
      of_bytes_ = part.file_bytes();
      received_bytes_ = 0;
      Keep(writer_.File(part.file(), part.file_bytes()));
    }
    if (!part.data().empty()) {
      received_bytes_ += part.data().size();
      Say("received", received_bytes_, of_bytes_);
      Keep(writer_.Data(part.data()));
    }
    if (part.file_ends()) Keep(writer_.FileEnds(part.file_crc32c()));
    if (part.has_facts()) facts_ = part.facts();
    return status_.ok();
  }
  const Status& status() const { return status_; }
  const std::optional<v1::BackupFacts>& facts() const { return facts_; }

 private:
  void Keep(const Status& status) {
    if (status_.ok()) status_ = status;
  }
  void Say(const char* what, std::uint64_t bytes, std::uint64_t of) {
    if (console_.Uptime() < next_) return;
    next_ = console_.Uptime() + kProgressEvery;
    console_.Err(std::string(what) + " " + FormatBytes(bytes) + " of " + FormatBytes(of) + "\n");
  }

  offline::BackupWriter& writer_;
  Console& console_;
  std::chrono::milliseconds next_{0};
  std::uint64_t received_bytes_ = 0;
  std::uint64_t of_bytes_ = 0;
  Status status_;
  std::optional<v1::BackupFacts> facts_;
};

offline::Manifest ManifestOf(const v1::BackupFacts& facts) {
  return {.version = facts.version(),
          .format = facts.format(),
          .coordinator_id = facts.coordinator_id(),
          .epoch = facts.epoch(),
          .start = facts.start(),
          .commit_seq = facts.commit_seq(),
          .unix_ms = facts.unix_ms(),
          .unfinished = facts.unfinished(),
          .finished = facts.finished()};
}

std::string Report(const std::string& folder, const v1::BackupFacts& facts, const Style& style) {
  if (style.output == Output::kId) return Visible(folder) + "\n";
  if (style.table()) {
    return "backup " + Visible(folder) + " of coordinator " +
           std::to_string(facts.coordinator_id()) + ", start " + std::to_string(facts.start()) +
           ": " + std::to_string(facts.unfinished()) + " unfinished and " +
           Count(facts.finished(), "finished transaction") + ", read back and sound\n";
  }
  Json json = ToJson(facts, {});
  json["folder"] = folder;
  if (style.output == Output::kYaml) return Yaml(json);
  return style.output == Output::kJsonl ? LineJson(json) : PrettyJson(json);
}

}  // namespace

Exit RunBackup(const BackupCommand& command, Session& session) {
  auto writer = offline::BackupWriter::Begin(command.folder);
  if (!writer.ok()) return FailOffline(writer.status(), session);
  Receiver receiver(**writer, session.console);
  Status status =
      session.service.Backup(session.options.wait_timeout,
                             [&](const v1::BackupPart& part) { return receiver.Take(part); });
  if (!receiver.status().ok()) status = receiver.status();
  if (status.ok() && !receiver.facts())
    status = DataLoss("the backup ended before it was whole: nothing was kept");
  if (!status.ok()) return FailOffline(status, session);
  session.console.Err("reading it back\n");
  status = (*writer)->Finish(ManifestOf(*receiver.facts()));
  if (!status.ok()) return FailOffline(status, session);
  session.console.Out(Report(command.folder, *receiver.facts(), session.MakeStyle()));
  return Exit::kDone;
}

}  // namespace assent::ctl

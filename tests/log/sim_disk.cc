#include "tests/log/sim_disk.h"

#include <algorithm>
#include <set>
#include <utility>

#include <assent/status.h>

namespace assent::log {
namespace {

bool OneIn(Random& random, std::uint64_t n) { return random() % n == 0; }

void WriteAt(std::string& content, std::size_t offset, std::string_view bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size(), '\0');
  content.replace(offset, bytes.size(), bytes);
}

void Garble(std::string& content, std::size_t from, std::size_t to, Random& random) {
  const std::uint64_t kind = random() % 3;
  for (std::size_t at = from; at < to; ++at) {
    content[at] = kind == 0 ? '\0' : kind == 1 ? '\xff' : static_cast<char>(random());
  }
}

// A write that the power loss interrupts: each of its sectors meets a fate of its own.
void Tear(std::string& content, std::size_t offset, std::string_view bytes, Random& random) {
  const std::uint64_t keep_of_8 = 1 + random() % 7;
  const std::size_t end = offset + bytes.size();
  for (std::size_t at = offset; at < end;) {
    const std::size_t to = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
    const std::string_view part = bytes.substr(at - offset, to - at);
    const bool changes = content.size() < to || content.compare(at, to - at, part) != 0;
    if (changes && OneIn(random, 6)) {
      WriteAt(content, at, part);  // if only for the length
      Garble(content, at, to, random);
    } else if (changes && OneIn(random, 6)) {
      WriteAt(content, at, part.substr(0, random() % part.size()));
    } else if (random() % 8 < keep_of_8) {
      WriteAt(content, at, part);
    }
    at = to;
  }
}

}  // namespace

void SimDisk::Put(const std::string& path, std::string content) {
  const FileId id = ++last_file_;
  files_[id] = {.seen = content, .durable = std::move(content)};
  names_[path] = id;
  durable_names_[path] = id;
}

void SimDisk::Apply(const DiskChange& change) {
  switch (change.kind) {
    case DiskChange::Kind::kCreate:
      files_[++last_file_] = {};
      names_[change.path] = last_file_;
      name_changes_.push_back({change.path, last_file_});
      return;
    case DiskChange::Kind::kDelete:
      names_.erase(change.path);
      name_changes_.push_back({change.path, 0});
      return;
    case DiskChange::Kind::kWrite: {
      File& file = Find(change.path);
      const auto offset = static_cast<std::size_t>(change.offset);
      WriteAt(file.seen, offset, change.bytes);
      file.pending.push_back({.offset = offset, .bytes = change.bytes});
      return;
    }
    case DiskChange::Kind::kTruncate: {
      File& file = Find(change.path);
      const auto size = static_cast<std::size_t>(change.offset);
      file.seen.resize(size, '\0');
      file.pending.push_back({.truncates = true, .offset = size});
      return;
    }
    case DiskChange::Kind::kSync: {
      File& file = Find(change.path);
      for (const Pending& one : file.pending) {
        if (one.truncates) {
          file.durable.resize(one.offset, '\0');
        } else {
          WriteAt(file.durable, one.offset, one.bytes);
        }
      }
      file.pending.clear();
      return;
    }
    case DiskChange::Kind::kFailedSync: {
      Random random(static_cast<std::uint64_t>(change.offset));
      File& file = Find(change.path);
      file.durable = Survivor(file, Loss::kTorn, random);
      file.pending.clear();
      return;
    }
    case DiskChange::Kind::kSyncFolder:
      durable_names_ = names_;
      name_changes_.clear();
      return;
    case DiskChange::Kind::kMark: return;
  }
}

std::string SimDisk::Survivor(const File& file, Loss loss, Random& random) {
  std::string content = file.durable;
  const std::size_t spoiled = file.pending.empty() ? 0 : random() % file.pending.size();
  for (std::size_t i = 0; i < file.pending.size() && loss != Loss::kAll; ++i) {
    const Pending& one = file.pending[i];
    // A truncation changes the folder's side of a file, and that whole or not at all.
    const bool may_tear = !one.truncates && loss != Loss::kSome;
    const bool chosen = loss == Loss::kAllButOne ? i == spoiled : OneIn(random, 2);
    if (!chosen) {
      if (one.truncates) {
        content.resize(one.offset, '\0');
      } else {
        WriteAt(content, one.offset, one.bytes);
      }
    } else if (may_tear && OneIn(random, 2)) {
      Tear(content, one.offset, one.bytes, random);
    }
  }
  return content;
}

SimDisk SimDisk::AfterPowerLoss(Loss loss, Random& random) const {
  SimDisk after;
  after.last_file_ = last_file_;
  after.names_ = durable_names_;
  for (const NameChange& change : name_changes_) {
    if (loss == Loss::kAll || OneIn(random, 2)) continue;
    if (change.file == 0) {
      after.names_.erase(change.path);
    } else {
      after.names_[change.path] = change.file;
    }
  }
  after.durable_names_ = after.names_;
  for (const auto& [path, id] : after.names_) {
    File& file = after.files_[id];
    file.durable = Survivor(files_.at(id), loss, random);
    file.seen = file.durable;
  }
  return after;
}

bool SimDisk::IsWaiting() const {
  return !name_changes_.empty() || std::any_of(files_.begin(), files_.end(), [](const auto& file) {
    return !file.second.pending.empty();
  });
}

}  // namespace assent::log

#include "coordinator/log/sqlite/state_file.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <sqlite3.h>

#include <sys/stat.h>

#include "coordinator/log/crc32c.h"

namespace assent::log {
namespace {

// A block is what a disk may tear; a line is the beginning of one, the rest is newlines.
constexpr int kBlockBytes = 4096;
constexpr int kLineBytes = 256;
constexpr int kAnchorBlocks = 2;
constexpr int kNoteBlock = 2;
constexpr int kBlocks = 3;

std::string Padded(const char* words) {
  std::array<char, kLineBytes> crc{};
  std::snprintf(crc.data(), crc.size(), " crc=%08" PRIx32 "\n", Crc32c(words));
  std::string line = std::string(words) + crc.data();
  line.resize(kLineBytes, '\n');
  return line;
}

std::string AnchorLine(const LogState& s, std::uint64_t number) {
  std::array<char, kLineBytes> words{};
  std::snprintf(words.data(), words.size(),
                "assent-state 1 anchor=%" PRIu64 " life=%s coordinator=%" PRIu64 " epoch=%" PRIu64
                " commit=%" PRIu64 " wal_bytes=%" PRIu64,
                number, s.open ? "open" : "ended", s.coordinator_id, s.epoch, s.commit_seq,
                s.wal_bytes);
  return Padded(words.data());
}

std::string NoteLine(std::uint64_t epoch, std::uint64_t commit_seq) {
  std::array<char, kLineBytes> words{};
  std::snprintf(words.data(), words.size(), "assent-state 1 note epoch=%" PRIu64 " commit=%" PRIu64,
                epoch, commit_seq);
  return Padded(words.data());
}

// The words of a line whose checksum fits, or nothing.
std::string Words(const std::string& line) {
  const std::size_t at = line.find(" crc=");
  if (at == std::string::npos) return {};
  const std::string words = line.substr(0, at);
  return Padded(words.c_str()) == line ? words : std::string();
}

struct Anchored {
  LogState state;
  std::uint64_t number = 0;
};

std::optional<Anchored> ParseAnchor(const std::string& line) {
  Anchored a;
  LogState& s = a.state;
  std::array<char, 8> life{};
  const int fields =
      std::sscanf(Words(line).c_str(),
                  "assent-state 1 anchor=%" SCNu64 " life=%5s coordinator=%" SCNu64
                  " epoch=%" SCNu64 " commit=%" SCNu64 " wal_bytes=%" SCNu64,
                  &a.number, life.data(), &s.coordinator_id, &s.epoch, &s.commit_seq, &s.wal_bytes);
  if (fields != 6) return std::nullopt;
  s.open = std::strcmp(life.data(), "open") == 0;
  return a;
}

}  // namespace

StateFile::StateFile(const std::string& path, const std::string& vfs)
    : path_(path + "-state"),
      vfs_(vfs),
      name_(sqlite3_create_filename(path_.c_str(), "", "", 0, nullptr)) {
  ASSENT_CHECK(name_ != nullptr);
}

StateFile::~StateFile() {
  Close();
  sqlite3_free_filename(const_cast<char*>(name_));
}

void StateFile::Close() {
  if (file_ != nullptr) file_->pMethods->xClose(file_);
  file_ = nullptr;
  whole_ = false;
}

Status StateFile::Failure(const char* what, int code) const {
  const std::string text = path_ + ": " + what + ": " + sqlite3_errstr(code);
  return (code & 0xFF) == SQLITE_FULL ? ResourceExhausted(text) : UnknownOutcome(text);
}

Result<bool> StateFile::Exists() const {
  sqlite3_vfs* vfs = sqlite3_vfs_find(vfs_.empty() ? nullptr : vfs_.c_str());
  int exists = 0;
  const int code = vfs->xAccess(vfs, name_, SQLITE_ACCESS_EXISTS, &exists);
  if (code != SQLITE_OK) return Failure("look for it", code);
  return exists != 0;
}

Status StateFile::Open(bool create) {
  sqlite3_vfs* vfs = sqlite3_vfs_find(vfs_.empty() ? nullptr : vfs_.c_str());
  memory_ = std::make_unique<char[]>(static_cast<std::size_t>(vfs->szOsFile));
  auto* file = reinterpret_cast<sqlite3_file*>(memory_.get());
  // A journal is made with the permissions of its database, which may be missing when there is
  // something to read.
  const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_JOURNAL
                                                    : SQLITE_OPEN_SUPER_JOURNAL);
  int out_flags = 0;
  const int code = vfs->xOpen(vfs, name_, file, flags, &out_flags);
  if (code != SQLITE_OK) {
    if (file->pMethods != nullptr) file->pMethods->xClose(file);
    return Failure("open it", code);
  }
  file_ = file;
  struct stat info {};
  if (vfs_.empty() && stat(path_.c_str(), &info) == 0) {
    device_ = info.st_dev;
    inode_ = info.st_ino;
  }
  return OkStatus();
}

Result<bool> StateFile::StillThere() {
  if (anchors_ == 0) return true;  // there has been none yet
  struct stat info {};
  if (stat(path_.c_str(), &info) != 0) {
    Close();
    return false;
  }
  if (device_ != info.st_dev || inode_ != info.st_ino) {
    return DataLoss(path_ +
                    ": replaced while in use: the file that is there now was not written over; put "
                    "back the one that was there before");
  }
  if (info.st_size < kBlocks * kBlockBytes) whole_ = false;
  return whole_;
}

Result<std::optional<LogState>> StateFile::Read() {
  const Result<bool> exists = Exists();
  if (!exists.ok()) return exists.status();
  if (!exists.value()) return std::optional<LogState>();
  if (Status status = Open(/*create=*/false); !status.ok()) return status;
  std::array<std::string, kBlocks> lines;
  for (int block = 0; block < kBlocks; ++block) {
    std::string& line = lines[static_cast<std::size_t>(block)];
    line.resize(kLineBytes);
    const int code = file_->pMethods->xRead(file_, line.data(), kLineBytes, block * kBlockBytes);
    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return Failure("read it", code);
  }
  std::optional<LogState> state;
  for (int block = 0; block < kAnchorBlocks; ++block) {
    const std::optional<Anchored> found = ParseAnchor(lines[static_cast<std::size_t>(block)]);
    if (!found || found->number < anchors_) continue;
    anchors_ = found->number;
    anchored_ = found->state;
    state = found->state;
  }
  if (!state) return state;
  whole_ = true;
  std::uint64_t epoch = 0;
  std::uint64_t commit_seq = 0;
  const int fields =
      std::sscanf(Words(lines[kNoteBlock]).c_str(),
                  "assent-state 1 note epoch=%" SCNu64 " commit=%" SCNu64, &epoch, &commit_seq);
  if (fields == 2 && epoch == state->epoch) {
    state->commit_seq = std::max(state->commit_seq, commit_seq);
  }
  return state;
}

Status StateFile::Write(int block, const std::string& line) {
  const int code = file_->pMethods->xWrite(file_, line.data(), static_cast<int>(line.size()),
                                           sqlite3_int64{block} * kBlockBytes);
  return code == SQLITE_OK ? OkStatus() : Failure("write it", code);
}

Status StateFile::Anchor(const LogState& state) {
  if (file_ == nullptr) {
    if (Status status = Open(/*create=*/true); !status.ok()) return status;
  }
  if (!whole_) {  // all of its space, so that a full disk finds it there
    const std::string nothing(kBlockBytes, '\n');
    for (int block = 0; block < kBlocks; ++block) {
      if (Status status = Write(block, nothing); !status.ok()) return status;
    }
  }
  const int block = static_cast<int>(anchors_ % kAnchorBlocks);
  if (Status status = Write(block, AnchorLine(state, anchors_ + 1)); !status.ok()) return status;
  const int code = file_->pMethods->xSync(file_, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) return Failure("synchronise it", code);
  whole_ = true;
  ++anchors_;
  anchored_ = state;
  return OkStatus();
}

Status StateFile::Note(std::uint64_t commit_seq) {
  return Write(kNoteBlock, NoteLine(anchored_.epoch, commit_seq));
}

}  // namespace assent::log

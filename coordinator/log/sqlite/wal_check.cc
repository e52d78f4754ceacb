#include "coordinator/log/sqlite/wal_check.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

namespace assent::log {
namespace {

// SQLite's file format, section 4: a header of 32 bytes (magic, version, page size, sequence, two
// salts, two sums), then frames of 24 bytes (page number, size of the database if it commits, two
// salts, two sums) and a page. Integers are big-endian; the sums run on from frame to frame, over
// 32-bit words in the byte order that the magic number tells.
constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kFrameHeaderBytes = 24;
constexpr std::uint32_t kMagic = 0x377F0682;  // + 1: big-endian words

std::uint32_t BigEndian(const unsigned char* at) {
  return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
         static_cast<std::uint32_t>(at[2]) << 8 | at[3];
}

std::uint32_t LittleEndian(const unsigned char* at) {
  return static_cast<std::uint32_t>(at[3]) << 24 | static_cast<std::uint32_t>(at[2]) << 16 |
         static_cast<std::uint32_t>(at[1]) << 8 | at[0];
}

struct Sums {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  friend bool operator==(const Sums&, const Sums&) = default;
};

Sums Extend(Sums sums, const unsigned char* data, std::size_t size, bool big_endian_words) {
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    const unsigned char* at = data + i;
    sums.first += (big_endian_words ? BigEndian(at) : LittleEndian(at)) + sums.second;
    sums.second += (big_endian_words ? BigEndian(at + 4) : LittleEndian(at + 4)) + sums.first;
  }
  return sums;
}

struct Frame {
  std::vector<unsigned char> raw;

  std::uint32_t page() const { return BigEndian(raw.data()); }
  bool is_commit() const { return BigEndian(&raw[4]) != 0; }
  const unsigned char* salt() const { return &raw[8]; }
  Sums stored() const { return {BigEndian(&raw[16]), BigEndian(&raw[20])}; }
  Sums Computed(Sums before, bool big_endian_words) const {
    const Sums sums = Extend(before, raw.data(), 8, big_endian_words);
    return Extend(sums, &raw[kFrameHeaderBytes], raw.size() - kFrameHeaderBytes, big_endian_words);
  }
  // The mark with which the frame, that does not fit, would fit: then what is damaged is that very
  // mark, and this is what it was. 0: the frame is no commit.
  std::optional<std::uint32_t> MarkThatFits(Sums before, bool big_endian_words) const;
};

std::optional<std::uint32_t> Frame::MarkThatFits(Sums before, bool big_endian_words) const {
  // Changing the second word of the sums by d changes them, `pairs` pairs later, by d times F(2
  // pairs) and F(2 pairs + 1) of the Fibonacci sequence: one equation gives d, the other checks it.
  // Neighbours are never both even.
  const Sums computed = Computed(before, big_endian_words);
  const std::uint32_t first = stored().first - computed.first;
  const std::uint32_t second = stored().second - computed.second;
  std::uint32_t even = 0;
  std::uint32_t odd = 1;
  for (std::size_t pair = 0; pair < (raw.size() - kFrameHeaderBytes) / 8; ++pair) {
    even += odd;
    odd += even;
  }
  const bool by_odd = (odd & 1) != 0;
  const std::uint32_t divisor = by_odd ? odd : even;
  std::uint32_t inverse = divisor;  // right in the lowest 3 bits; each step doubles them
  for (int i = 0; i < 4; ++i) inverse *= 2 - divisor * inverse;
  const std::uint32_t change = (by_odd ? second : first) * inverse;
  if (change == 0 || even * change != first || odd * change != second) return std::nullopt;
  return (big_endian_words ? BigEndian(&raw[4]) : LittleEndian(&raw[4])) + change;
}

class Walker {
 public:
  explicit Walker(const WalFile& wal) : wal_(wal) {
    frame_.raw.resize(kFrameHeaderBytes + wal.page_bytes);
  }

  Result<std::uint64_t> Check();

 private:
  bool Next();
  Result<std::uint64_t> CheckFrames(const unsigned char* salt, Sums sums);
  Result<std::uint64_t> CheckWithoutHeader();
  bool DatabaseHolds(const std::map<std::uint32_t, std::uint64_t>& frames);

  const WalFile& wal_;
  bool big_ = false;
  bool unreadable_ = false;
  Frame frame_;
  std::uint64_t number_ = 0;  // of frame_, from 1
  std::uint64_t offset_ = kHeaderBytes;
};

bool Walker::Next() {
  if (offset_ + frame_.raw.size() > wal_.bytes) return false;
  unreadable_ = !wal_.read(offset_, frame_.raw.data(), frame_.raw.size());
  if (unreadable_) return false;
  offset_ += frame_.raw.size();
  ++number_;
  return true;
}

Result<std::uint64_t> Walker::Check() {
  if (wal_.bytes <= kHeaderBytes) return std::uint64_t{0};
  std::array<unsigned char, kHeaderBytes> header{};
  if (!wal_.read(0, header.data(), header.size()))
    return Unavailable(wal_.name + ": cannot be read");
  const std::uint32_t magic = BigEndian(header.data());
  big_ = magic == kMagic + 1;
  const Sums sums = Extend({}, header.data(), 24, big_);
  const bool fits = (magic == kMagic || big_) && BigEndian(&header[8]) == wal_.page_bytes &&
                    sums == Sums{BigEndian(&header[24]), BigEndian(&header[28])};
  const Result<std::uint64_t> valid_bytes =
      fits ? CheckFrames(&header[16], sums) : CheckWithoutHeader();
  if (unreadable_) return Unavailable(wal_.name + ": cannot be read");
  return valid_bytes;
}

Result<std::uint64_t> Walker::CheckFrames(const unsigned char* salt, Sums sums) {
  std::uint64_t valid_bytes = 0;
  std::uint64_t misfit = 0;  // the first frame that does not fit
  int commits_behind = 0;
  while (Next()) {
    // Frames left by an earlier generation have other salts.
    bool ours = std::memcmp(frame_.salt(), salt, 8) == 0;
    bool is_commit = frame_.is_commit();
    const bool sums_fit = frame_.Computed(sums, big_) == frame_.stored();
    if (misfit == 0 && ours && sums_fit) {
      if (is_commit) valid_bytes = offset_;
      sums = frame_.stored();
      continue;
    }
    // Salt or mark may be what is damaged: of the first that does not fit both, of those behind it
    // the mark. A torn write can leave the mark that an earlier generation had in this place, of a
    // frame that is no commit.
    if (misfit == 0) {
      misfit = number_;
      ours = ours || sums_fit;
    }
    if (const auto mark = frame_.MarkThatFits(sums, big_)) is_commit = *mark != 0;
    sums = frame_.stored();
    if (ours && is_commit && ++commits_behind == 2) {
      return DataLoss(wal_.name + ": frame " + std::to_string(misfit) +
                      " is damaged: commits that were reported durable lie behind it, and SQLite"
                      " would skip them");
    }
  }
  return valid_bytes;
}

// The header does not fit, and SQLite will ignore the whole file. That is right if all that its
// frames say is in the database already.
Result<std::uint64_t> Walker::CheckWithoutHeader() {
  std::array<unsigned char, 8> salt{};
  std::map<std::uint32_t, std::uint64_t> committed;  // page -> offset of its newest content
  std::map<std::uint32_t, std::uint64_t> open;
  Sums sums;
  while (Next()) {
    if (number_ == 1) {
      std::memcpy(salt.data(), frame_.salt(), salt.size());
    } else if (std::memcmp(frame_.salt(), salt.data(), salt.size()) != 0 ||
               (frame_.Computed(sums, false) != frame_.stored() &&
                frame_.Computed(sums, true) != frame_.stored())) {
      break;
    }
    sums = frame_.stored();
    open[frame_.page()] = offset_ - wal_.page_bytes;
    if (!frame_.is_commit()) continue;
    for (const auto& [page, at] : open) committed[page] = at;
    open.clear();
  }
  if (DatabaseHolds(committed)) return std::uint64_t{0};
  return DataLoss(
      wal_.name +
      ": the header is damaged, and SQLite would skip commits that were reported durable");
}

bool Walker::DatabaseHolds(const std::map<std::uint32_t, std::uint64_t>& frames) {
  std::vector<unsigned char> in_wal(wal_.page_bytes);
  std::vector<unsigned char> in_database(wal_.page_bytes);
  for (const auto& [page, at] : frames) {
    if (page == 0 || !wal_.read(at, in_wal.data(), in_wal.size()) ||
        !wal_.read_database(std::uint64_t{page - 1} * wal_.page_bytes, in_database.data(),
                            in_database.size()) ||
        in_wal != in_database) {
      return false;
    }
  }
  return true;
}

}  // namespace

Result<std::uint64_t> CheckWal(const WalFile& wal) { return Walker(wal).Check(); }

}  // namespace assent::log

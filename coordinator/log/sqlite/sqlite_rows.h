#pragma once

// What each stored row's checksum covers. The table's name, the key columns and the version are
// part of it, so that a row that is whole but in another's place, or of another time, is as corrupt
// as one with a flipped bit. FORMAT.md gives the byte order.

#include <cstdint>
#include <string_view>

namespace assent::log {

// The one row of `meta`: what is true of the whole log as of the last commit.
struct Meta {
  std::uint64_t format = 0;          // as user_version in the file's header, which has no checksum
  std::uint64_t coordinator_id = 0;  // drawn once, nonzero
  std::uint64_t epoch = 0;           // of the newest start; grows with each (epoch.h)
  std::uint64_t next_serial = 1;     // above every serial ever begun
  std::uint64_t commit_seq = 0;      // dense: one more with each commit
  std::uint64_t live_rows = 0;
  std::uint64_t live_xor = 0;  // of the serials: names the one row that is missing
  std::uint64_t live_versions =
      0;  // sum: lower than it should be if some row is of an earlier time
  std::uint64_t finished_rows = 0;

  friend bool operator==(const Meta&, const Meta&) = default;
};

std::uint32_t MetaChecksum(const Meta& meta);

// Also of table closed, whose row is a copy of one of table life.
std::uint32_t LifeChecksum(std::uint64_t epoch, std::uint64_t commit_seq);

std::uint32_t AgeChecksum(std::uint64_t ran_ms, std::uint64_t commit_seq, std::int64_t unix_ms);

// `target` names where it has gone (sqlite_moved.h).
std::uint32_t MovedChecksum(bool done, std::string_view target);

// An unfinished row has two: what never changes, and what is replaced with each version.
std::uint32_t SpecChecksum(std::uint64_t serial, std::string_view gid, std::string_view spec);
std::uint32_t StateChecksum(std::uint64_t serial, std::uint64_t version, std::uint64_t commit_seq,
                            std::string_view state);

std::uint32_t FinishedChecksum(std::uint64_t serial, std::uint64_t commit_seq, std::uint8_t outcome,
                               std::int64_t finished_unix_ms, std::string_view gid,
                               std::string_view spec, std::string_view state);

}  // namespace assent::log

#pragma once

// Tells a torn end of the write-ahead log from damage.
//
// SQLite stops replaying its WAL at the first frame whose checksum does not fit and takes that for
// the end. Right after a crash that is right: the last, unsynchronised commit may be torn. But a
// bit that flips in an earlier frame makes it drop that commit and every one after it without a
// word, and those were reported durable. Every commit is synchronised before the next one is
// written; so when two commits of this generation lie at or behind the misfit, the first of them
// had been durable, and the file is damaged.
//
// Likewise the header. It is rewritten, when the WAL begins anew, only after everything in it has
// reached the database, and a crash can tear it then; but a header that does not fit before frames
// that the database has not got is damage.
//
// What cannot be told: damage to the very last commit looks like a torn write. FORMAT.md says how
// long that lasts.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include <assent/status.h>

namespace assent::log {

// Reads `size` bytes at `offset`; false if there are not so many, or the disk does not give them.
using ReadAt = std::function<bool(std::uint64_t offset, unsigned char* into, std::size_t size)>;

struct WalFile {
  std::string name;  // for messages
  std::uint64_t bytes = 0;
  std::uint32_t page_bytes = 0;  // of the database
  ReadAt read;
  ReadAt read_database;
};

// The length of the part that SQLite will replay (0 if there is none), or kDataLoss naming the
// frame. To be called while nobody writes.
Result<std::uint64_t> CheckWal(const WalFile& wal);

}  // namespace assent::log

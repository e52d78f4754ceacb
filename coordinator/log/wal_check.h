#pragma once

// Tells a torn end of the write-ahead log from damage.
//
// SQLite stops replaying its WAL at the first frame whose checksum does not fit and takes that for the end. Right after a
// power cut that is right: the last, unsynchronised commit may be torn. But a bit that flips in a frame makes it drop that
// commit and every one after it without a word, and those were reported durable. It is damage, not a tear, if
//   - one changed 32-bit word, or one changed byte of the frame's own checksum or salt, explains the misfit; or
//   - two commits of this generation lie at or behind the misfit: each is synchronised before the next one is written, so
//     the first of them had been durable.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include <assent/status.h>

namespace assent::log {

// Reads `size` bytes at `offset`; false if there are not so many, or the disk does not give them.
using ReadAt = std::function<bool(std::uint64_t offset, unsigned char* into, std::size_t size)>;

// The length of the part that SQLite will replay (0 if there is none), or kDataLoss naming the frame. `name` is for messages.
Result<std::uint64_t> CheckWal(const std::string& name, std::uint64_t file_bytes,
                               const ReadAt& read);

}  // namespace assent::log

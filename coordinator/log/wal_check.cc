#include "coordinator/log/wal_check.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace assent::log {
namespace {

// SQLite's file format, section 4: a header of 32 bytes, then frames of 24 bytes and a page. Integers are big-endian;
// checksums sum 32-bit words in the order that the magic number tells.
constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kFrameHeaderBytes = 24;
constexpr std::uint32_t kMagicLittleEndianWords = 0x377F0682;
constexpr std::uint32_t kMagicBigEndianWords = 0x377F0683;

std::uint32_t BigEndian(const unsigned char* at) {
  return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
         static_cast<std::uint32_t>(at[2]) << 8 | at[3];
}

struct Sums {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  friend bool operator==(const Sums&, const Sums&) = default;
};

Sums Extend(Sums sums, const unsigned char* data, std::size_t size, bool big_endian_words) {
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    std::array<std::uint32_t, 2> words{};
    for (std::size_t w = 0; w < 2; ++w) {
      const unsigned char* at = data + i + 4 * w;
      words[w] = big_endian_words ? BigEndian(at)
                                  : static_cast<std::uint32_t>(at[3]) << 24 |
                                        static_cast<std::uint32_t>(at[2]) << 16 |
                                        static_cast<std::uint32_t>(at[1]) << 8 | at[0];
    }
    sums.first += words[0] + sums.second;
    sums.second += words[1] + sums.first;
  }
  return sums;
}

std::uint32_t InverseOfOdd(std::uint32_t odd) {
  std::uint32_t inverse = odd;  // right in the lowest 3 bits; each step doubles them
  for (int i = 0; i < 4; ++i) inverse *= 2 - odd * inverse;
  return inverse;
}

// Whether some single 32-bit word of the `words` summed ones, changed, would turn the sums `computed` into `stored`.
//
// A change d in the second word of a pair moves the sums by (0, d), in the first by (d, d); each further pair maps a
// difference (a, b) to (a + b, a + 2b). So a word moves the sums by d times two neighbours of the Fibonacci sequence,
// F(n) and F(n+1), n counting from the end. Neighbours are never both even: one equation gives d, the other checks it.
bool OneWordExplains(const Sums& computed, const Sums& stored, std::size_t words) {
  const std::uint32_t first = stored.first - computed.first;
  const std::uint32_t second = stored.second - computed.second;
  std::uint32_t f = 0;
  std::uint32_t next = 1;
  for (std::size_t n = 0; n < words; ++n) {
    const std::uint32_t change =
        (next & 1) != 0 ? second * InverseOfOdd(next) : first * InverseOfOdd(f);
    if (f * change == first && next * change == second) return true;
    f = std::exchange(next, f + next);
  }
  return false;
}

// Whether `a` and `b` differ in exactly one byte.
bool OneByteDiffers(const unsigned char* a, const unsigned char* b, std::size_t size) {
  std::size_t different = 0;
  for (std::size_t i = 0; i < size; ++i) different += a[i] != b[i] ? 1 : 0;
  return different == 1;
}

void StoreBigEndian(std::uint32_t value, unsigned char* at) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<unsigned char>(value >> (24 - 8 * i));
}

// The frame where the checksums end: torn, or damaged?
bool IsDamaged(const std::vector<unsigned char>& frame, const unsigned char* salt,
               const Sums& computed) {
  const Sums stored{BigEndian(&frame[16]), BigEndian(&frame[20])};
  if (computed == stored) return true;                         // all fits but the salt
  if (!std::equal(&frame[8], &frame[16], salt)) return false;  // of an earlier generation
  std::array<unsigned char, 8> expected{};
  StoreBigEndian(computed.first, expected.data());
  StoreBigEndian(computed.second, &expected[4]);
  if (OneByteDiffers(expected.data(), &frame[16], expected.size())) return true;
  return OneWordExplains(computed, stored, (frame.size() - kFrameHeaderBytes + 8) / 4);
}

struct Header {
  bool big_endian_words = false;
  std::uint32_t page_bytes = 0;
  std::array<unsigned char, 8> salt{};
  Sums sums;
};

Result<Header> ReadHeader(const std::string& name, const ReadAt& read) {
  std::array<unsigned char, kHeaderBytes> raw{};
  if (!read(0, raw.data(), raw.size())) return Unavailable(name + ": cannot be read");
  Header header;
  const std::uint32_t magic = BigEndian(raw.data());
  header.big_endian_words = magic == kMagicBigEndianWords;
  header.page_bytes = BigEndian(&raw[8]);
  std::copy(&raw[16], &raw[24], header.salt.begin());
  header.sums = Extend({}, raw.data(), 24, header.big_endian_words);
  const Sums stored{BigEndian(&raw[24]), BigEndian(&raw[28])};
  if ((!header.big_endian_words && magic != kMagicLittleEndianWords) || header.sums != stored ||
      header.page_bytes < 512 || header.page_bytes > 65536) {
    return DataLoss(name +
                    ": the header is damaged: commits that were reported durable may be in this"
                    " file, and SQLite would skip them");
  }
  return header;
}

}  // namespace

Result<std::uint64_t> CheckWal(const std::string& name, std::uint64_t file_bytes,
                               const ReadAt& read) {
  if (file_bytes <= kHeaderBytes) return std::uint64_t{0};
  const Result<Header> read_header = ReadHeader(name, read);
  if (!read_header.ok()) return read_header.status();
  const Header& header = read_header.value();

  std::vector<unsigned char> frame(kFrameHeaderBytes + header.page_bytes);
  Sums running = header.sums;
  std::uint64_t valid_bytes = 0;
  std::uint64_t misfit = 0;  // the number of the first frame that does not fit
  int commits_behind = 0;
  std::uint64_t offset = kHeaderBytes;
  for (std::uint64_t number = 1; offset + frame.size() <= file_bytes; ++number) {
    if (!read(offset, frame.data(), frame.size())) return Unavailable(name + ": cannot be read");
    offset += frame.size();
    const bool of_this_generation = std::equal(&frame[8], &frame[16], header.salt.begin());
    const bool is_commit = BigEndian(&frame[4]) != 0;
    if (misfit == 0) {
      running = Extend(running, frame.data(), 8, header.big_endian_words);
      running =
          Extend(running, &frame[kFrameHeaderBytes], header.page_bytes, header.big_endian_words);
      if (of_this_generation && running == Sums{BigEndian(&frame[16]), BigEndian(&frame[20])}) {
        if (is_commit) valid_bytes = offset;
        continue;
      }
      misfit = number;
      if (IsDamaged(frame, header.salt.data(), running)) {
        return DataLoss(name + ": frame " + std::to_string(misfit) +
                        " is damaged: SQLite would skip it and every commit behind it");
      }
    }
    if (of_this_generation && is_commit && ++commits_behind == 2) {
      return DataLoss(name + ": frame " + std::to_string(misfit) +
                      " fails its checksum, but commits that were reported durable lie behind it");
    }
  }
  return valid_bytes;
}

}  // namespace assent::log

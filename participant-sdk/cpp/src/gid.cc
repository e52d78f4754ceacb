#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include <sys/random.h>

#include <assent/status.h>
#include <assent/transaction.h>

#include "participant-sdk/cpp/src/seed.h"

namespace assent {
namespace {

constexpr std::size_t kTimeBytes = 6;
constexpr std::size_t kRandomBytes = 10;

}  // namespace

// The kernel is asked each time (a quarter of a microsecond): a buffer of our own would be copied
// by fork(), and two processes would hand out the same identities.
std::string NewGid() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  const auto unix_ms = static_cast<std::uint64_t>(duration_cast<milliseconds>(since_epoch).count());

  std::array<unsigned char, kTimeBytes + kRandomBytes> bytes{};
  for (std::size_t i = 0; i < kTimeBytes; ++i) {
    bytes[i] = static_cast<unsigned char>(unix_ms >> (8 * (kTimeBytes - 1 - i)));
  }
  // Up to 256 bytes are never cut short once the kernel's generator is seeded, and without the flag
  // we wait for that.
  ASSENT_CHECK(getrandom(&bytes[kTimeBytes], kRandomBytes, 0) == kRandomBytes);

  static constexpr char kHex[] = "0123456789abcdef";
  std::string gid;
  gid.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    gid.push_back(kHex[byte >> 4]);
    gid.push_back(kHex[byte & 15]);
  }
  return gid;
}

namespace internal {

std::uint64_t RandomSeed() {
  std::uint64_t seed = 0;
  ASSENT_CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
  return seed;
}

}  // namespace internal
}  // namespace assent

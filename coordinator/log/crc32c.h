#pragma once

// CRC-32C (Castagnoli), the checksum of every stored row. With the processor's own instruction
// where there is one.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace assent::log {

// The checksum of `data` appended to whatever gave `crc` (0: nothing before it).
std::uint32_t ExtendCrc32c(std::uint32_t crc, const void* data, std::size_t size);

inline std::uint32_t Crc32c(std::string_view data) {
  return ExtendCrc32c(0, data.data(), data.size());
}

// How the checksums of rows take what they cover (FORMAT.md). Integers go in as eight bytes, least
// significant first.
inline std::uint32_t ExtendByNumbers(std::uint32_t crc,
                                     std::initializer_list<std::uint64_t> numbers) {
  for (std::uint64_t number : numbers) {
    std::array<unsigned char, 8> bytes{};
    for (unsigned char& byte : bytes) {
      byte = static_cast<unsigned char>(number);
      number >>= 8;
    }
    crc = ExtendCrc32c(crc, bytes.data(), bytes.size());
  }
  return crc;
}

// Bytes follow their own length, so that no two rows give the same stream.
inline std::uint32_t ExtendByText(std::uint32_t crc, std::string_view text) {
  return ExtendCrc32c(ExtendByNumbers(crc, {text.size()}), text.data(), text.size());
}

namespace internal {
// The form without the instruction, exposed so that a test can hold both against each other.
std::uint32_t ExtendCrc32cByTable(std::uint32_t crc, const void* data, std::size_t size);
}  // namespace internal

}  // namespace assent::log

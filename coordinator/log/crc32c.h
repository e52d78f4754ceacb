#pragma once

// CRC-32C (Castagnoli), the checksum of every stored row. With the processor's own instruction
// where there is one.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace assent::log {

// The checksum of `data` appended to whatever gave `crc` (0: nothing before it).
std::uint32_t ExtendCrc32c(std::uint32_t crc, const void* data, std::size_t size);

inline std::uint32_t Crc32c(std::string_view data) {
  return ExtendCrc32c(0, data.data(), data.size());
}

namespace internal {
// The form without the instruction, exposed so that a test can hold both against each other.
std::uint32_t ExtendCrc32cByTable(std::uint32_t crc, const void* data, std::size_t size);
}  // namespace internal

}  // namespace assent::log

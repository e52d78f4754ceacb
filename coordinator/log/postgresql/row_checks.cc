#include "coordinator/log/postgresql/row_checks.h"

#include <array>
#include <cstddef>
#include <initializer_list>

#include "coordinator/log/crc32c.h"

namespace assent::log {
namespace {

std::uint32_t Numbers(std::uint32_t crc, std::initializer_list<std::uint64_t> numbers) {
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

std::uint32_t Text(std::uint32_t crc, std::string_view text) {
  return ExtendCrc32c(Numbers(crc, {text.size()}), text.data(), text.size());
}

}  // namespace

std::uint32_t SpecCheck(Slot slot, std::uint64_t serial, std::string_view gid,
                        std::string_view spec) {
  return Text(Text(Numbers(Crc32c("live spec"), {slot, serial}), gid), spec);
}

std::uint32_t StateCheck(Slot slot, std::uint64_t serial, std::uint64_t version,
                         std::string_view state) {
  return Text(Numbers(Crc32c("live state"), {slot, serial, version}), state);
}

std::uint32_t FinishedCheck(Slot slot, std::uint64_t serial, std::uint8_t outcome,
                            std::int64_t finished_unix_ms, std::string_view gid,
                            std::string_view state) {
  const std::uint32_t crc = Numbers(
      Crc32c("finished"), {slot, serial, outcome, static_cast<std::uint64_t>(finished_unix_ms)});
  return Text(Text(crc, gid), state);
}

}  // namespace assent::log

#include "coordinator/log/postgresql/row_checks.h"

#include "coordinator/log/crc32c.h"

namespace assent::log {
std::uint32_t SpecCheck(Slot slot, std::uint64_t serial, std::string_view gid,
                        std::string_view spec) {
  return ExtendByText(ExtendByText(ExtendByNumbers(Crc32c("live spec"), {slot, serial}), gid),
                      spec);
}

std::uint32_t StateCheck(Slot slot, std::uint64_t serial, std::uint64_t version,
                         std::string_view state) {
  return ExtendByText(ExtendByNumbers(Crc32c("live state"), {slot, serial, version}), state);
}

std::uint32_t FinishedCheck(Slot slot, std::uint64_t serial, std::uint8_t outcome,
                            std::int64_t finished_unix_ms, std::string_view gid,
                            std::string_view state) {
  const std::uint32_t crc = ExtendByNumbers(
      Crc32c("finished"), {slot, serial, outcome, static_cast<std::uint64_t>(finished_unix_ms)});
  return ExtendByText(ExtendByText(crc, gid), state);
}

}  // namespace assent::log

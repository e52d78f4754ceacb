#pragma once

// What the checksum of each stored row covers (FORMAT.md).

#include <cstdint>
#include <string_view>

#include <assent/slot.h>

namespace assent::log {

std::uint32_t SpecCheck(Slot slot, std::uint64_t serial, std::string_view gid,
                        std::string_view spec);
std::uint32_t StateCheck(Slot slot, std::uint64_t serial, std::uint64_t version,
                         std::string_view state);
std::uint32_t FinishedCheck(Slot slot, std::uint64_t serial, std::uint8_t outcome,
                            std::int64_t finished_unix_ms, std::string_view gid,
                            std::string_view state);

}  // namespace assent::log

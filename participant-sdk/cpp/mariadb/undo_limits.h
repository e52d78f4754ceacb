#pragma once

// What automatic Saga steps hold themselves to. docs/sdk-mariadb.md says what is beyond.

#include <cstddef>

namespace assent::mariadb::limits {

// Images of rows that one automatic Saga step writes: two for each row that is updated. Their
// text, and how many times a row is written.
inline constexpr std::size_t kMaxUndoBytes = 16 * 1024 * 1024;
inline constexpr std::size_t kMaxUndoRowsCount = 10'000;

}  // namespace assent::mariadb::limits

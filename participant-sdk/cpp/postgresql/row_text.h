#pragma once

// One row in PostgreSQL's text form, (1,"a b",), as its columns. Pure.
//
// What the types' own functions write, they read again, whatever the type: an image of a row is
// therefore kept as this text, and not as JSON, which knows no bounds of arrays and no blanks in a
// json.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

namespace assent::postgresql::internal {

// Without a value: NULL.
using Fields = std::vector<std::optional<std::string>>;

// kDataLoss when it is no row.
Result<Fields> ParseRow(std::string_view text);

}  // namespace assent::postgresql::internal

#pragma once

// One row in PostgreSQL's text form, (1,"a b",), as its columns. Pure.
//
// What the types' own functions write, they read again, whatever the type: an image of a row is
// therefore kept as this text, and not as JSON, which knows no bounds of arrays and no blanks in a
// json.

#include <string_view>

#include <assent/status.h>

#include "participant-sdk/cpp/server/undo_rows.h"

namespace assent::postgresql::internal {

using server::Fields;

// kDataLoss when it is no row.
Result<Fields> ParseRow(std::string_view text);

}  // namespace assent::postgresql::internal

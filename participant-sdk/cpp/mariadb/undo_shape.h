#pragma once

// A table whose rows are kept as images, and how: the text of each column, written by the trigger
// and read again to the last bit.
//
//   numbers, bits, ENUM and SET       as numbers; FLOAT with the digits of a double
//   dates and times                   as the server writes them; TIMESTAMP as seconds since 1970,
//                                     which no time zone and no summer can change
//   CHAR, TEXT, BLOB, JSON, geometry  their bytes, in hexadecimal, in the column's character set
//
// An image is "=1,=616263,": each column's text behind "=", nothing for NULL. What is generated is
// no part of it: the server makes it again.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "participant-sdk/cpp/server/undo_rows.h"

namespace assent::mariadb::internal {

using server::Fields;
using server::Record;

// Tells one text from another; not against anybody who wants two to be alike.
std::string Fingerprint(std::string_view text);
// In backquotes.
std::string NameInSql(std::string_view name);

// How the values of a column go in and out.
enum class Form : std::uint8_t { kNumber, kReal, kIndex, kText, kBytes, kWord, kStamp };

struct Shape : server::RowShape {
  std::string sql;          // `database`.`table`
  std::vector<Form> forms;  // by column, as charsets and moving
  std::vector<std::string> charsets;
  std::vector<bool> moving;   // ON UPDATE CURRENT_TIMESTAMP
  bool has_triggers = false;  // of somebody else's, which act on what is undone as well
  std::string why_not;        // not empty: it cannot be undone soundly, and why

  // A line for each column: what is kept beside the images.
  std::string Text() const;
  // For the trigger to write beside each image.
  std::string Digest() const { return Fingerprint(Text()); }
  // As it was in `text`, where all of its columns are still the same; else `misfit` says what is
  // not. There may be more columns.
  Shape As(std::string_view text, std::string& misfit) const;

  // SQL for the image of a row, whose columns are `row`.`name`; of those that do not move alone.
  std::string Image(std::string_view row) const { return ImageOf(row, true); }
  std::string ImageOfFixed(std::string_view row) const { return ImageOf(row, false); }
  // kDataLoss when it is no image of such a row.
  Result<Fields> Parse(std::string_view image) const;
  // SQL for what Parse has read.
  std::string Value(std::size_t column, const std::optional<std::string>& value) const;

 private:
  std::string ImageOf(std::string_view row, bool with_moving) const;
};

// In front of a statement that writes or reads such values: a session may have other settings.
inline constexpr char kExact[] =
    "SET STATEMENT sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00' "
    "FOR ";

}  // namespace assent::mariadb::internal

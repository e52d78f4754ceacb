#pragma once

// A row that no build has ever written, and whose checksums are right.

#include <sqlite3.h>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_rows.h"

namespace assent::log {

// Of a log that is closed: the only finished row gets the serial of the only unfinished one.
inline void GiveFinishedTheSerialOfLive(const std::string& path) {
  SqliteConnection db;
  ASSERT_EQ(db.Open(path, ""), SQLITE_OK);
  std::int64_t serial = 0;
  ASSERT_EQ(db.QueryInt("SELECT serial FROM live", serial), SQLITE_OK);
  Statement row;
  ASSERT_EQ(
      db.Prepare("SELECT commit_seq, outcome, finished_unix_ms, gid, spec, state FROM finished",
                 row),
      SQLITE_OK);
  ASSERT_EQ(row.Step(), SQLITE_ROW);
  const std::uint32_t crc = FinishedChecksum(static_cast<std::uint64_t>(serial), row.Unsigned(0),
                                             static_cast<std::uint8_t>(row.Int(1)), row.Int(2),
                                             row.Bytes(3), row.Bytes(4), row.Bytes(5));
  row = Statement();
  ASSERT_EQ(db.Execute("UPDATE finished SET serial = " + std::to_string(serial) +
                       ", crc = " + std::to_string(crc)),
            SQLITE_OK);
  ASSERT_EQ(db.Changes(), 1);
}

}  // namespace assent::log

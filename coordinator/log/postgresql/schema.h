#pragma once

// The tables that the members of a cluster share, and how they come about: whoever comes first
// makes them, however many come at once.
//
//   log       one row: format, the log's id, how many slots, starts so far, the store's generation
//   member    one row for each epoch: node, address, beat, whether it has ended
//   lane      one for each connection of a member through which it writes: the fence
//   batch     one row for each group that was committed, until 1000 newer ones of its lane are
//   slot      who has it
//   pin       one for each slot that a person has moved: whose it is to be
//   asked     what people have asked of members, and why
//   live      a row for each unfinished transaction
//   finished  a row for each finished one, until retention removes it
//
// FORMAT.md beside this says what each column means, and what the checksums cover.

#include <cstdint>
#include <string>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/log/postgresql/connection.h"

namespace assent::log {

inline constexpr int kPostgresFormat = 2;
inline constexpr Slot kDefaultSlotsCount = 1024;

struct SchemaOptions {
  // Of a log that is made now; one that is there keeps what it has.
  Slot slots_count = kDefaultSlotsCount;
  std::uint32_t log_id = 0;  // 0: drawn
  // Where its rows come from, if they are still to come (kIncomingFormat).
  std::string incoming_from = {};
};

// What is true of the whole log.
struct LogRow {
  int format = 0;
  std::uint32_t log_id = 0;
  Slot slots_count = 0;
  std::uint64_t starts = 0;
  std::uint64_t generation = 0;
  std::string origin;
  std::int64_t age_ms = 0;
};

// A log that has moved elsewhere has a format above this: nobody takes part in it any more, and
// `origin` says where it has gone.
inline constexpr int kMovedFormat = 1'000'000;
// One whose rows are still to come has a format above this, and `origin` says from where: nobody
// takes part in it yet.
inline constexpr int kIncomingFormat = 2'000'000;
// What `origin` then says.
std::string IncomingFrom(const std::string& source);

// `ended_by` of those whom no member has ended: somebody had to be alone with the log.
inline constexpr int kEndedByNoMember = 0;

// What OpenSchema runs when there is no log: all tables, and last the log's row, if somebody else
// was not faster.
std::string CreationSql(const std::string& schema, const SchemaOptions& options);

// What takes tables of this format to ours. Any number may run it, at any time.
std::string MigrationSql(int format);

// Makes what is missing, in the schema of the connection (its search_path), takes an older format
// to ours, and reads the log's row.
//   kFailedPrecondition  a newer format than this program knows; a log that has moved, or is
//                        still to come; or half a schema, which nobody of us leaves behind
//   kPermissionDenied    no right to make or use it: the message has the GRANT
Result<LogRow> OpenSchema(Connection& connection, const std::string& schema,
                          const SchemaOptions& options = {});

}  // namespace assent::log

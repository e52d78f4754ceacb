#include "participant-sdk/cpp/postgresql/questions.h"

#include <iterator>

#include "participant-sdk/cpp/postgresql/names.h"

namespace assent::postgresql::internal {
namespace {

#define ASSENT_AGO(now, age)                                                                   \
  "coalesce($" now "::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) - $" age \
  "::bigint"

// pg_prepared_xacts is small: it has max_prepared_transactions rows at most.
constexpr char kPrepared[] =
    "SELECT b.gid, b.branch_id, b.coordinator_id, b.began_epoch FROM pg_prepared_xacts p CROSS "
    "JOIN "
    "LATERAL (SELECT * FROM assent_barrier WHERE gid = split_part(p.gid, '/', 2) AND branch_id = "
    "split_part(p.gid, '/', 3) AND state = 4 LIMIT 1) b WHERE p.database = current_database() AND "
    "p.gid LIKE 'assent/%' AND (b.gid, b.branch_id) > ($1, $2) AND b.touched_ms <= " ASSENT_AGO(
        "3", "4") " ORDER BY b.gid, b.branch_id LIMIT $5";
constexpr char kUnpromised[] =
    "SELECT p.gid FROM pg_prepared_xacts p WHERE p.database = current_database() AND p.gid LIKE "
    "'assent/%' AND p.prepared <= clock_timestamp() - $1::bigint * interval '1 ms' AND NOT "
    "EXISTS(SELECT FROM assent_barrier WHERE gid = split_part(p.gid, '/', 2) AND branch_id = "
    "split_part(p.gid, '/', 3)) ORDER BY random() LIMIT $2";
// By the index of ages: those that have just been touched are never looked at.
constexpr char kOld[] =
    "SELECT gid, branch_id, coordinator_id, began_epoch, touched_ms FROM assent_barrier WHERE "
    "touched_ms <= " ASSENT_AGO("1", "2") " AND touched_ms >= $3 AND (touched_ms, gid, branch_id) "
    "> ($3, $4, $5) AND state <> 4 AND orphan = 0 ORDER BY touched_ms, gid, branch_id LIMIT $6";

HeldBranch ReadBranch(const Table& table, int row) {
  return {std::string(table.Text(row, 0)), std::string(table.Text(row, 1)),
          static_cast<std::uint32_t>(table.Int(row, 2)),
          static_cast<std::uint64_t>(table.Int(row, 3))};
}

Param TimeOf(Now now_ms) { return now_ms ? Param::Int(*now_ms) : Param::Null(); }

}  // namespace

Questions::Questions(const Options& options, ConnectionSettings settings)
    : options_(options), settings_(std::move(settings)) {}

bool Questions::Connected() {
  if (connection_ != nullptr && !connection_->broken()) return true;
  connection_.reset();
  Result<std::unique_ptr<Connection>> opened = Connection::Open(settings_);
  if (opened.ok()) connection_ = std::move(*opened);
  return opened.ok();
}

std::vector<HeldBranch> Questions::Next(std::size_t limit) {
  if (!Connected()) return {};
  std::vector<HeldBranch> all = Old(limit / 2);
  const auto add = [&all](std::vector<HeldBranch> more) {
    all.insert(all.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
  };
  add(Prepared(limit - all.size()));
  add(Unpromised(limit - all.size()));
  if (!old_at_end_) add(Old(limit - all.size()));
  return all;
}

std::vector<HeldBranch> Questions::Prepared(std::size_t limit) {
  std::vector<HeldBranch> found;
  if (limit == 0) return found;
  const std::int64_t age = first_round_ ? 0 : options_.ask_after.count();
  const Answer answer = connection_->Query(
      kPrepared, {Param::Text(gid_cursor_), Param::Text(branch_cursor_), TimeOf(now()),
                  Param::Int(age), Param::Int(static_cast<std::int64_t>(limit))});
  for (int i = 0; i < answer.table.rows(); ++i) found.push_back(ReadBranch(answer.table, i));
  const bool at_end = found.size() < limit;
  first_round_ = first_round_ && !(answer.ok() && at_end);
  gid_cursor_ = at_end ? std::string() : found.back().gid;
  branch_cursor_ = at_end ? std::string() : found.back().branch_id;
  return found;
}

// Whose coordinator nobody knows: all that are connected are asked.
std::vector<HeldBranch> Questions::Unpromised(std::size_t limit) {
  std::vector<HeldBranch> found;
  if (limit == 0) return found;
  const Answer answer = connection_->Query(
      kUnpromised,
      {Param::Int(options_.ask_after.count()), Param::Int(static_cast<std::int64_t>(limit))});
  for (int i = 0; i < answer.table.rows(); ++i) {
    const std::optional<BranchKey> branch = BranchOf(answer.table.Text(i, 0));
    if (branch) found.push_back({std::string(branch->gid), std::string(branch->branch_id)});
  }
  return found;
}

std::vector<HeldBranch> Questions::Old(std::size_t limit) {
  std::vector<HeldBranch> found;
  old_at_end_ = false;
  if (limit == 0) return found;
  const Answer answer = connection_->Query(
      kOld, {TimeOf(now()), Param::Int(options_.retain.count()), Param::Int(old_ms_cursor_),
             Param::Text(old_gid_cursor_), Param::Text(old_branch_cursor_),
             Param::Int(static_cast<std::int64_t>(limit))});
  const int rows = answer.table.rows();
  for (int i = 0; i < rows; ++i) found.push_back(ReadBranch(answer.table, i));
  const bool at_end = found.size() < limit;
  old_at_end_ = at_end;
  old_ms_cursor_ = at_end ? 0 : answer.table.Int(rows - 1, 4);
  old_gid_cursor_ = at_end ? std::string() : found.back().gid;
  old_branch_cursor_ = at_end ? std::string() : found.back().branch_id;
  return found;
}

}  // namespace assent::postgresql::internal

#include "participant-sdk/cpp/sqlite/questions.h"

#include <iterator>
#include <utility>

#include "participant-sdk/cpp/barrier/barrier.h"

namespace assent::sqlite::internal {
namespace {

// Rows looked at per call while searching for old ones: a bound on the time it takes, whatever the
// table's size.
constexpr std::int64_t kMaxScannedCount = 4096;

HeldBranch ReadBranch(const Statement& read) {
  return {read.Text(0), read.Text(1), static_cast<std::uint32_t>(read.Int(2)),
          static_cast<std::uint64_t>(read.Int(3))};
}

}  // namespace

Questions::Questions(std::unique_ptr<Connection> reader, Settings settings)
    : reader_(std::move(reader)), settings_(settings) {
  Statement newest(*reader_, "SELECT max(id) FROM assent_prepared");
  if (newest.Step()) earlier_life_until_ = newest.Int(0);
}

std::vector<HeldBranch> Questions::Next(std::size_t limit, std::int64_t now_ms) {
  std::vector<HeldBranch> all = Old(limit / 2, now_ms);
  const auto add = [&all](std::vector<HeldBranch> more) {
    all.insert(all.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
  };
  add(Prepared(limit - all.size(), now_ms));
  if (all.size() < limit && !old_at_end_) add(Old(limit - all.size(), now_ms));
  return all;
}

std::vector<HeldBranch> Questions::Prepared(std::size_t limit, std::int64_t now_ms) {
  std::vector<HeldBranch> found;
  if (limit == 0) return found;
  // From the cursor to the end, then from the start up to the cursor.
  for (const bool wrapped : {false, true}) {
    const std::int64_t from = wrapped ? 0 : prepared_cursor_;
    const std::int64_t to = wrapped ? prepared_cursor_ : INT64_MAX;
    Statement read(
        *reader_,
        "SELECT gid, branch_id, coordinator_id, began_epoch, id FROM assent_prepared "
        "WHERE id > ?1 AND id <= ?2 AND (id <= ?3 OR prepared_ms <= ?4) ORDER BY id LIMIT ?5",
        from, to, earlier_life_until_, now_ms - settings_.ask_after_ms, limit - found.size());
    std::int64_t last = prepared_cursor_;
    while (read.Step()) {
      found.push_back(ReadBranch(read));
      last = read.Int(4);
    }
    if (wrapped || found.size() == limit) {
      prepared_cursor_ = found.empty() ? 0 : last;
      break;
    }
  }
  return found;
}

std::vector<HeldBranch> Questions::Old(std::size_t limit, std::int64_t now_ms) {
  old_at_end_ = false;
  if (limit == 0) return {};
  std::vector<HeldBranch> found;
  Statement read(*reader_,
                 "SELECT gid, branch_id, coordinator_id, began_epoch, state, orphan, touched_ms "
                 "FROM assent_barrier "
                 "WHERE (gid, branch_id) > (?1, ?2) ORDER BY gid, branch_id LIMIT ?3",
                 gid_cursor_, branch_cursor_, kMaxScannedCount);
  std::int64_t scanned = 0;
  std::string gid;
  std::string branch_id;
  while (found.size() < limit && read.Step()) {
    ++scanned;
    HeldBranch branch = ReadBranch(read);
    gid = branch.gid;
    branch_id = branch.branch_id;
    constexpr auto kPrepared = static_cast<std::int64_t>(barrier::State::kPrepared);
    if (read.Int(4) == kPrepared || read.Int(5) != 0) continue;
    if (read.Int(6) <= now_ms - settings_.retain_ms) found.push_back(std::move(branch));
  }
  old_at_end_ = found.size() < limit && scanned < kMaxScannedCount;
  gid_cursor_ = old_at_end_ ? std::string() : gid;
  branch_cursor_ = old_at_end_ ? std::string() : branch_id;
  return found;
}

}  // namespace assent::sqlite::internal

#include "participant-sdk/cpp/mariadb/questions.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "participant-sdk/cpp/mariadb/xid.h"

namespace assent::mariadb::internal {
namespace {

using barrier::State;

// Rows that are looked for in one statement.
constexpr std::size_t kLookAtOnce = 100;

}  // namespace

Questions::Questions(const Options& options, ConnectionSettings settings)
    : options_(options), settings_(std::move(settings)) {}

bool Questions::Connected() {
  if (connection_ != nullptr && !connection_->broken() && !connection_->IsStale()) return true;
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
  if (!old_at_end_) add(Old(limit - all.size()));
  return all;
}

bool Questions::Recover(std::vector<Key>& keys) {
  const Answer recovered = connection_->Run("XA RECOVER");
  if (!recovered.ok()) return false;
  for (int i = 0; i < recovered.table.rows(); ++i) {
    const std::optional<BranchKey> branch = BranchOf(recovered.table, i);
    if (branch) keys.emplace_back(std::string(branch->gid), std::string(branch->branch_id));
  }
  std::sort(keys.begin(), keys.end());
  std::rotate(keys.begin(), std::upper_bound(keys.begin(), keys.end(), cursor_), keys.end());
  const std::set<Key> there(keys.begin(), keys.end());
  std::erase_if(unpromised_, [&](const auto& one) { return !there.contains(one.first); });
  return true;
}

std::vector<HeldBranch> Questions::Prepared(std::size_t limit) {
  std::vector<HeldBranch> found;
  std::vector<Key> keys;
  if (limit == 0 || !Recover(keys)) return found;
  std::size_t first = 0;
  while (first < keys.size() && found.size() < limit) {
    const std::size_t last =
        std::min({keys.size(), first + kLookAtOnce, first + limit - found.size()});
    if (!LookAt(keys, first, last, found)) return found;
    cursor_ = keys[last - 1];
    first = last;
  }
  if (first == keys.size()) first_round_ = false;
  return found;
}

bool Questions::LookAt(const std::vector<Key>& keys, std::size_t first, std::size_t last,
                       std::vector<HeldBranch>& found) {
  const std::int64_t age = first_round_ ? 0 : options_.ask_after.count();
  std::string sql = "SELECT gid, branch_id, coordinator_id, began_epoch, state = " +
                    std::to_string(static_cast<int>(State::kPrepared)) +
                    " AND touched_ms <= " + TimeOf(now()) + " - " + std::to_string(age) +
                    " FROM assent_barrier FORCE INDEX(PRIMARY) WHERE ";
  for (std::size_t i = first; i < last; ++i)
    sql += (i == first ? "(" : " OR (") + IsBranch({keys[i].first, keys[i].second}) + ")";
  const Answer answer = connection_->Run(sql);
  if (!answer.ok()) return false;
  std::set<Key> with_row;
  for (int i = 0; i < answer.table.rows(); ++i) {
    Key key(answer.table.Text(i, 0), answer.table.Text(i, 1));
    if (answer.table.Int(i, 4) == 1) {
      found.push_back({key.first, key.second, static_cast<std::uint32_t>(answer.table.Int(i, 2)),
                       static_cast<std::uint64_t>(answer.table.Int(i, 3))});
    }
    with_row.insert(std::move(key));
  }
  for (std::size_t i = first; i < last; ++i) {
    // Whose coordinator nobody knows: all that are connected are asked.
    if (!with_row.contains(keys[i]) && IsLongSeen(keys[i]))
      found.push_back({keys[i].first, keys[i].second});
  }
  return true;
}

bool Questions::IsLongSeen(const Key& key) {
  const Clock::time_point now = Clock::now();
  const auto [seen, is_new] = unpromised_.try_emplace(key, now);
  return !is_new && now - seen->second >= options_.ask_after;
}

std::vector<HeldBranch> Questions::Old(std::size_t limit) {
  std::vector<HeldBranch> found;
  old_at_end_ = false;
  if (limit == 0) return found;
  // By the index of ages: those that have just been touched are never looked at.
  const std::string since = std::to_string(old_ms_cursor_);
  const Answer answer = connection_->Run(
      "SELECT gid, branch_id, coordinator_id, began_epoch, touched_ms FROM assent_barrier WHERE "
      "touched_ms <= " +
      TimeOf(now()) + " - " + std::to_string(options_.retain.count()) +
      " AND touched_ms >= " + since + " AND (touched_ms > " + since + " OR (gid, branch_id) > (" +
      Quoted(old_gid_cursor_) + ", " + Quoted(old_branch_cursor_) + ")) AND state <> " +
      std::to_string(static_cast<int>(State::kPrepared)) +
      " AND orphan = 0 ORDER BY touched_ms, gid, branch_id LIMIT " + std::to_string(limit));
  const int rows = answer.table.rows();
  for (int i = 0; i < rows; ++i) {
    found.push_back({std::string(answer.table.Text(i, 0)), std::string(answer.table.Text(i, 1)),
                     static_cast<std::uint32_t>(answer.table.Int(i, 2)),
                     static_cast<std::uint64_t>(answer.table.Int(i, 3))});
  }
  const bool at_end = found.size() < limit;
  old_at_end_ = at_end;
  old_ms_cursor_ = at_end ? 0 : answer.table.Int(rows - 1, 4);
  old_gid_cursor_ = at_end ? std::string() : found.back().gid;
  old_branch_cursor_ = at_end ? std::string() : found.back().branch_id;
  return found;
}

}  // namespace assent::mariadb::internal

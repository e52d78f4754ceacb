#include <algorithm>
#include <utility>
#include <vector>

#include "coordinator/core/describe.h"
#include "coordinator/service/causes.h"
#include "coordinator/service/convert.h"
#include "coordinator/service/filter.h"
#include "proto/words/words.h"

namespace assent::service {
namespace {

std::int64_t UnixMs(core::WallTime time) { return time.time_since_epoch().count(); }

void Count(v1::Cause& row, v1::TransactionState state, std::uint64_t count) {
  auto& states = *row.mutable_states();
  auto at = std::find_if(states.begin(), states.end(),
                         [&](const v1::StateCount& one) { return one.state() >= state; });
  if (at == states.end() || at->state() != state) {
    const auto place = static_cast<int>(at - states.begin());
    states.Add()->set_state(state);
    for (int i = states.size() - 1; i > place; --i) states.SwapElements(i, i - 1);
    at = states.begin() + place;
  }
  at->set_count(at->count() + count);
}

void AddKind(v1::Cause& row, v1::CauseKind kind) {
  const auto& kinds = row.kinds();
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) row.add_kinds(kind);
}

void AddInto(v1::Cause& row, const v1::Cause& more) {
  row.set_count(row.count() + more.count());
  for (const v1::StateCount& one : more.states()) Count(row, one.state(), one.count());
  row.set_needs_operator(row.needs_operator() + more.needs_operator());
  for (const int kind : more.kinds()) AddKind(row, static_cast<v1::CauseKind>(kind));
  // The samples of whoever has the oldest come first.
  const bool older = row.gids().empty() || more.oldest_unix_ms() < row.oldest_unix_ms();
  std::vector<std::string> gids(older ? more.gids().begin() : row.gids().begin(),
                                older ? more.gids().end() : row.gids().end());
  const auto& rest = older ? row.gids() : more.gids();
  gids.insert(gids.end(), rest.begin(), rest.end());
  gids.resize(std::min(gids.size(), kMaxSampleGidsCount));
  if (older) {
    row.set_oldest_unix_ms(more.oldest_unix_ms());
    row.set_example(more.example());
  }
  row.clear_gids();
  for (std::string& gid : gids) row.add_gids(std::move(gid));
}

void AddOne(v1::Cause& row, const core::Transaction& txn, bool visible, const core::Now& now) {
  row.set_count(row.count() + 1);
  Count(row, visible ? wire::ToWire(txn.phase()) : v1::ACTIVE, 1);
  if (txn.needs_operator()) row.set_needs_operator(row.needs_operator() + 1);
  const std::int64_t began = UnixMs(txn.began_at());
  auto& gids = *row.mutable_gids();
  if (gids.empty() || began < row.oldest_unix_ms()) {
    row.set_oldest_unix_ms(began);
    row.set_example(visible ? core::WhyNotFinished(txn, now) : kBeingDecided);
    gids.Add(std::string(txn.gid()));
    for (int i = gids.size() - 1; i > 0; --i) gids.SwapElements(i, i - 1);
    if (gids.size() > static_cast<int>(kMaxSampleGidsCount)) gids.RemoveLast();
  } else if (gids.size() < static_cast<int>(kMaxSampleGidsCount)) {
    gids.Add(std::string(txn.gid()));
  }
}

void Name(v1::Cause& row, const core::Cause& cause, const std::string& key) {
  row.set_key(key);
  row.set_kind(wire::ToWire(cause.kind));
  row.set_service(std::string(cause.service));
  row.set_operation(wire::ToWire(cause.operation));
  row.set_action(std::string(cause.action));
  row.set_sentence(core::Sentence(cause));
}

bool GoesWell(int kind) {
  return kind == v1::NOT_ANSWERED || kind == v1::NOT_SEALED || kind == v1::UNDER_WAY;
}

// What somebody should look at first.
int RankOf(const v1::Cause& row) {
  const auto& kinds = row.kinds();
  if (std::find(kinds.begin(), kinds.end(), v1::CONTRADICTED) != kinds.end()) return 0;
  if (row.needs_operator() > 0) return 1;
  return std::all_of(kinds.begin(), kinds.end(), GoesWell) ? 3 : 2;
}

// A newer coordinator may know more.
CauseKind KindOf(int kind) {
  return wire::FromWire<CauseKind>(static_cast<v1::CauseKind>(kind)).value_or(CauseKind::kUnderWay);
}

// "payment: not connected, failing".
std::string SentenceOfService(const v1::Cause& row) {
  std::string text;
  for (const int kind : row.kinds()) {
    text += (text.empty() ? "" : ", ") + std::string(core::Name(KindOf(kind)));
  }
  return row.service().empty() ? text : row.service() + ": " + text;
}

}  // namespace

v1::Cause* CauseTable::RowFor(const std::string& group, const std::string& exact) {
  const auto found = groups_.find(group);
  if (found == groups_.end()) {
    if (rows_ >= kMaxCausesCount) return nullptr;
    ++rows_;
    return &groups_[group].rows[exact];
  }
  Group& there = found->second;
  if (there.merged) return &there.rows.begin()->second;
  const auto row = there.rows.find(exact);
  if (row != there.rows.end()) return &row->second;
  if (exact != group && there.rows.size() < kMaxWordingsCount && rows_ < kMaxCausesCount) {
    ++rows_;
    return &there.rows[exact];
  }
  Merge(group, there);
  return &there.rows.begin()->second;
}

void CauseTable::Merge(const std::string& key, Group& group) {
  v1::Cause all = group.rows.begin()->second;
  for (auto row = std::next(group.rows.begin()); row != group.rows.end(); ++row)
    AddInto(all, row->second);
  core::Cause cause{
      .kind = KindOf(all.kind()),
      .service = all.service(),
      .action = all.action(),
      .operation = wire::FromWire<core::Operation>(all.operation()).value_or(kNoOperation)};
  cause.words = "in many ways";
  all.set_sentence(core::Sentence(cause));
  all.set_key(key);
  all.set_many_wordings(true);
  rows_ -= group.rows.size() - 1;
  group.rows.clear();
  group.rows[key] = std::move(all);
  group.merged = true;
}

void CauseTable::Add(const core::Transaction& txn, bool visible, const core::Now& now) {
  ++total_;
  const core::Cause cause = CauseOf(txn, visible);
  const CauseKey key = KeyOf(cause);
  v1::Cause* row = by_service_ ? RowFor(key.service, key.service) : RowFor(key.group, key.exact);
  if (row == nullptr) {
    ++others_;
    return;
  }
  if (row->count() == 0 && by_service_) {
    row->set_key(key.service);
    row->set_service(std::string(cause.service));
  } else if (row->count() == 0) {
    Name(*row, cause, key.exact);
  }
  AddKind(*row, wire::ToWire(cause.kind));
  AddOne(*row, txn, visible, now);
}

void CauseTable::Add(const v1::ListCausesReply& counted) {
  total_ += counted.total();
  others_ += counted.others();
  for (const v1::Cause& more : counted.causes()) {
    const std::string group = more.key().substr(0, more.key().find('-'));
    v1::Cause* row = RowFor(group, more.key());
    if (row == nullptr) {
      others_ += more.count();
    } else if (row->count() == 0) {
      *row = more;
      groups_[group].merged = more.many_wordings();
    } else {
      AddInto(*row, more);
    }
  }
}

void CauseTable::Fill(v1::ListCausesReply& out) const {
  std::vector<v1::Cause> rows;
  for (const auto& [key, group] : groups_) {
    for (const auto& [exact, row] : group.rows) rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end(), [](const v1::Cause& a, const v1::Cause& b) {
    if (RankOf(a) != RankOf(b)) return RankOf(a) < RankOf(b);
    if (a.count() != b.count()) return a.count() > b.count();
    return a.sentence() + a.key() < b.sentence() + b.key();
  });
  for (v1::Cause& row : rows) {
    std::sort(row.mutable_kinds()->begin(), row.mutable_kinds()->end());
    if (by_service_) row.set_sentence(SentenceOfService(row));
    out.add_causes()->Swap(&row);
  }
  out.set_others(others_);
  out.set_total(total_);
}

}  // namespace assent::service

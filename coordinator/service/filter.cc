#include "coordinator/service/filter.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

#include <assent/slot.h>
#include <assent/text.h>

#include "proto/words/words.h"

namespace assent::service {
namespace {

// "s0123456789", "c0123456789", "c0123456789-abcdef".
constexpr std::size_t kGroupBytes = 11;
constexpr std::size_t kExactBytes = kGroupBytes + 7;

std::string Hash(char mark, std::string_view text, int digits) {
  char key[32];
  std::snprintf(key, sizeof key, "%c%0*llx", mark, digits,
                static_cast<unsigned long long>(GidHash(text) >> (64 - 4 * digits)));
  return key;
}

}  // namespace

core::Cause CauseOf(const core::Transaction& txn, bool decision_visible) {
  return decision_visible ? core::CauseOf(txn) : core::Cause{};
}

CauseKey KeyOf(const core::Cause& cause) {
  std::string group(1, static_cast<char>('0' + static_cast<int>(cause.kind)));
  group.append(1, static_cast<char>('0' + static_cast<int>(cause.operation)));
  group.append(cause.service).append(1, ' ').append(cause.action);
  CauseKey key;
  key.service = Hash('s', cause.service, 10);
  key.group = Hash('c', group, 10);
  key.exact = cause.words.empty() ? key.group : key.group + Hash('-', cause.words, 6);
  return key;
}

Status CheckFilter(const v1::ListRequest& request) {
  if (request.min_age_ms() < 0) return InvalidArgument("min_age_ms is negative");
  const std::string& key = request.cause();
  const auto is_hex = [](std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  };
  const std::string_view text = key;
  const bool is_group = text.size() == kGroupBytes && is_hex(text.substr(1));
  const bool is_exact = text.size() == kExactBytes && text[0] == 'c' && text[kGroupBytes] == '-' &&
                        is_hex(text.substr(1, kGroupBytes - 1)) &&
                        is_hex(text.substr(kGroupBytes + 1));
  if (text.empty() || is_exact || (is_group && (text[0] == 'c' || text[0] == 's')))
    return OkStatus();
  return InvalidArgument("cause is \"" + std::string(CutReason(key, 100)) +
                         "\": it takes the key of a cause, as ListCauses gives it");
}

bool IsFiltered(const v1::ListRequest& r) {
  return r.states_size() > 0 || r.protocol() != v1::PROTOCOL_UNSPECIFIED || !r.service().empty() ||
         r.labels_size() > 0 || !r.gid_prefix().empty() || r.min_age_ms() > 0 ||
         r.needs_operator() || r.outcome() != v1::OUTCOME_UNSPECIFIED || !r.cause().empty();
}

bool Matches(const v1::ListRequest& r, const core::Transaction& txn, bool visible,
             core::WallTime now) {
  if (!r.gid_prefix().empty() && txn.gid().compare(0, r.gid_prefix().size(), r.gid_prefix()) != 0)
    return false;
  const auto state = visible ? wire::ToWire(txn.phase()) : v1::ACTIVE;
  if (r.states_size() > 0 &&
      std::find(r.states().begin(), r.states().end(), state) == r.states().end())
    return false;
  const core::Outcome outcome = visible ? txn.outcome() : core::Outcome::kUndecided;
  if (r.outcome() != v1::OUTCOME_UNSPECIFIED && wire::ToWire(outcome) != r.outcome()) return false;
  if (r.needs_operator() && !txn.needs_operator()) return false;
  if (r.min_age_ms() > 0 && now - txn.began_at() < core::Millis(r.min_age_ms())) return false;
  const auto& branches = txn.spec().branches;
  if (r.protocol() != v1::PROTOCOL_UNSPECIFIED &&
      std::none_of(branches.begin(), branches.end(), [&](const core::BranchSpec& b) {
        return wire::ToWire(b.protocol) == r.protocol();
      })) {
    return false;
  }
  if (!r.service().empty() &&
      std::none_of(branches.begin(), branches.end(),
                   [&](const core::BranchSpec& b) { return b.service == r.service(); })) {
    return false;
  }
  for (const auto& [key, value] : r.labels()) {
    const auto& labels = txn.spec().labels;
    if (std::find(labels.begin(), labels.end(), std::pair<std::string, std::string>(key, value)) ==
        labels.end())
      return false;
  }
  if (r.cause().empty()) return true;
  const CauseKey key = KeyOf(CauseOf(txn, visible));
  return r.cause() == key.exact || r.cause() == key.group || r.cause() == key.service;
}

}  // namespace assent::service

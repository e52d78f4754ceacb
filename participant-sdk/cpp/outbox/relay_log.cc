#include "participant-sdk/cpp/outbox/relay_log.h"

#include <cstdint>
#include <cstdio>
#include <utility>

#include "participant-sdk/cpp/src/text.h"

namespace assent::internal::outbox {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kMaxShownBytes = 400;
constexpr minutes kBehind{1};

// For between quotes.
std::string Shown(const std::string& text) {
  std::string shown = OneLine(text, kMaxShownBytes);
  for (char& c : shown) c = c == '"' ? '\'' : c;
  return shown;
}

void ToStderr(const std::string& line) { std::fprintf(stderr, "assent relay: %s\n", line.c_str()); }

}  // namespace

RelayLog::RelayLog(std::function<void(const std::string&)> write)
    : write_(write ? std::move(write) : ToStderr) {}

void RelayLog::Database(const Status& status) {
  if (status.ok() && !database_.empty()) Line("event=outbox_database_back");
  const std::string words = status.ok() ? std::string() : status.ToString();
  if (!status.ok() && database_ != words)
    Line("event=outbox_database_fails error=\"" + Shown(words) + "\" hint=\"it is tried again\"");
  database_ = words;
}

void RelayLog::Coordinator(const std::string& error) {
  if (error.empty() && !coordinator_.empty()) Line("event=outbox_coordinator_back");
  if (!error.empty() && coordinator_.empty()) {
    Line("event=outbox_coordinator_fails error=\"" + Shown(error) +
         "\" hint=\"the rows stay, and are handed over again\"");
  }
  coordinator_ = error;
}

void RelayLog::Parked(const std::vector<OutboxTable::Settled>& rows) const {
  std::size_t count = 0;
  const OutboxTable::Settled* first = nullptr;
  for (const OutboxTable::Settled& row : rows) {
    if (row.what != OutboxTable::Settled::What::kParked) continue;
    if (count++ == 0) first = &row;
  }
  if (first == nullptr) return;
  Line("event=outbox_parked rows=" + std::to_string(count) + " gid=" + Shown(first->gid) +
       " reason=\"" + Shown(first->words) + "\" hint=\"assent-relay list --parked\"");
}

void RelayLog::Counted(const OutboxTable::Counts& counts, Clock::time_point now) {
  const bool behind = counts.oldest_age > kBehind;
  if (!behind && std::exchange(is_behind_, behind)) Line("event=outbox_caught_up");
  if (!behind || (is_behind_ && now - said_behind_at_ < kBehind)) return;
  is_behind_ = true;
  said_behind_at_ = now;
  Line("event=outbox_behind oldest_s=" +
       std::to_string(std::chrono::duration_cast<seconds>(counts.oldest_age).count()) +
       " waiting=" + std::to_string(counts.waiting) + (counts.is_more ? "+" : "") +
       " parked=" + std::to_string(counts.parked) + " why=\"" + Shown(Trouble()) + "\"");
}

}  // namespace assent::internal::outbox

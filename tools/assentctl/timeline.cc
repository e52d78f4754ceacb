#include "tools/assentctl/timeline.h"

#include <algorithm>
#include <map>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

using Rank = TimelineEntry::Rank;

TimelineEntry AttemptEntry(const std::string& branch_id, const v1::Attempt& attempt) {
  const bool answered =
      attempt.result() != v1::Attempt::IN_FLIGHT && attempt.result() != v1::Attempt::NOT_SENT;
  return {attempt.started_unix_ms(),
          IsForward(attempt.operation()) ? Rank::kForward : Rank::kPhaseTwo,
          {branch_id,
           Word(attempt.operation()),
           std::to_string(attempt.number()),
           answered ? FormatLatency(attempt.latency_us()) : "",
           {Word(attempt.result()), ToneOf(attempt.result())},
           attempt.error()}};
}

// A dim line in place of attempts that the coordinator did not keep, just before `next`.
TimelineEntry Gap(const TimelineEntry& next, const std::string& id, const std::string& what) {
  TimelineEntry gap = next;
  gap.cells = {id, "", "", "", "", {"(" + what + " not kept)", Tone::kDim}};
  return gap;
}

std::string Tries(std::uint32_t first, std::uint32_t last) {
  if (first == last) return "try " + std::to_string(first);
  return "tries " + std::to_string(first) + " to " + std::to_string(last);
}

// Not every attempt is kept: those between the first four and the last ones are dropped
// (types.proto), and those that never left are replaced by the next. Of those that are kept a
// message may lack the oldest.
void AddAttempts(const v1::Branch& branch, std::int64_t decided_unix_ms,
                 std::vector<TimelineEntry>& entries) {
  const std::string& id = branch.spec().branch_id();
  std::map<int, std::uint32_t> last_number;  // by operation
  for (int i = 0; i < branch.attempts_size(); ++i) {
    const v1::Attempt& attempt = branch.attempts(i);
    TimelineEntry entry = AttemptEntry(id, attempt);
    entry.at_unix_ms = ShownStart(attempt, decided_unix_ms);
    std::uint32_t& last = last_number[attempt.operation()];
    const std::uint32_t older = branch.attempts_left_out();
    if (i == 0 && older > 0) {
      TimelineEntry gap = Gap(entry, id, "");
      gap.cells.back() = {"(" + Count(older, "attempt") + " left out)", Tone::kDim};
      entries.push_back(std::move(gap));
    } else if (static_cast<std::uint32_t>(i) + older == 4 && branch.dropped_attempts() > 0) {
      entries.push_back(Gap(entry, id, Count(branch.dropped_attempts(), "attempt")));
    } else if (attempt.number() > last + 1) {
      entries.push_back(Gap(entry, id, Tries(last + 1, attempt.number() - 1)));
    }
    last = attempt.number();
    entries.push_back(std::move(entry));
  }
}

TimelineEntry Milestone(std::int64_t at, Rank rank, std::string what, Tone tone,
                        std::string detail = "") {
  return {at, rank, {"", {std::move(what), tone}, "", "", "", std::move(detail)}};
}

TimelineEntry PersonEntry(const v1::Intervention& intervention) {
  std::string detail = "by " + (intervention.who().empty() ? "unknown" : intervention.who());
  if (!intervention.reason().empty()) detail += ": " + intervention.reason();
  return {intervention.at_unix_ms(),
          Rank::kPerson,
          {intervention.branch_id(), {intervention.verb(), Tone::kStrong}, "", "", "", detail}};
}

}  // namespace

std::int64_t ShownStart(const v1::Attempt& attempt, std::int64_t decided_unix_ms) {
  if (IsForward(attempt.operation())) return attempt.started_unix_ms();
  return std::max(attempt.started_unix_ms(), decided_unix_ms);
}

std::vector<TimelineEntry> Timeline(const v1::Transaction& transaction) {
  std::vector<TimelineEntry> entries;
  entries.push_back(Milestone(transaction.began_unix_ms(), Rank::kBegun, "begun", Tone::kStrong));
  for (const v1::Branch& branch : transaction.branches())
    AddAttempts(branch, transaction.decided_unix_ms(), entries);
  if (transaction.decided_unix_ms() != 0) {
    entries.push_back(Milestone(transaction.decided_unix_ms(), Rank::kDecided,
                                "decision " + Word(transaction.decision()) + " durable",
                                Tone::kStrong, transaction.abort_reason()));
  }
  for (const v1::Intervention& intervention : transaction.interventions()) {
    entries.push_back(PersonEntry(intervention));
  }
  if (transaction.holder().since_unix_ms() > transaction.began_unix_ms()) {
    entries.push_back(Milestone(transaction.holder().since_unix_ms(), Rank::kPerson, "taken up",
                                Tone::kStrong, "by node " + Visible(transaction.holder().node())));
  }
  if (transaction.finished_unix_ms() != 0) {
    entries.push_back(Milestone(transaction.finished_unix_ms(), Rank::kFinished,
                                "finished " + Word(transaction.outcome()), Tone::kStrong));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto& left, const auto& right) {
    return left.at_unix_ms != right.at_unix_ms ? left.at_unix_ms < right.at_unix_ms
                                               : left.rank < right.rank;
  });
  return entries;
}

std::string TimelineMoment(std::int64_t at_unix_ms, const v1::Transaction& transaction,
                           const Style& style) {
  if (style.time == TimeStyle::kIso) return FormatIso(at_unix_ms);
  const std::int64_t passed = at_unix_ms - transaction.began_unix_ms();
  return (passed < 0 ? "-" : "+") + FormatStopwatch(passed < 0 ? -passed : passed);
}

std::string RenderTimeline(const v1::Transaction& transaction, const Style& style) {
  Table table({"TIME", "BRANCH", "WHAT", "TRY", "TOOK", "RESULT", "DETAIL"});
  for (TimelineEntry& entry : Timeline(transaction)) {
    std::vector<Cell> row = {TimelineMoment(entry.at_unix_ms, transaction, style)};
    for (Cell& cell : entry.cells) row.push_back(std::move(cell));
    table.Add(std::move(row));
  }
  return table.Render(style, "  ");
}

}  // namespace assent::ctl

#include "tools/assentctl/timeline.h"

#include <algorithm>

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

void AddAttempts(const v1::Branch& branch, std::vector<TimelineEntry>& entries) {
  const std::string& id = branch.spec().branch_id();
  for (int i = 0; i < branch.attempts_size(); ++i) {
    const v1::Attempt& attempt = branch.attempts(i);
    // The first four are always kept (types.proto), so the gap comes after them.
    if (i == 4 && branch.dropped_attempts() > 0) {
      TimelineEntry gap = AttemptEntry(id, attempt);
      gap.cells = {
          id, "", "",
          "", "", {"(" + Count(branch.dropped_attempts(), "attempt") + " not kept)", Tone::kDim}};
      entries.push_back(std::move(gap));
    }
    entries.push_back(AttemptEntry(id, attempt));
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

std::vector<TimelineEntry> Timeline(const v1::Transaction& transaction) {
  std::vector<TimelineEntry> entries;
  entries.push_back(Milestone(transaction.began_unix_ms(), Rank::kBegun, "begun", Tone::kStrong));
  for (const v1::Branch& branch : transaction.branches()) AddAttempts(branch, entries);
  if (transaction.decided_unix_ms() != 0) {
    entries.push_back(Milestone(transaction.decided_unix_ms(), Rank::kDecided,
                                "decision " + Word(transaction.decision()) + " durable",
                                Tone::kStrong, transaction.abort_reason()));
  }
  for (const v1::Intervention& intervention : transaction.interventions()) {
    entries.push_back(PersonEntry(intervention));
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

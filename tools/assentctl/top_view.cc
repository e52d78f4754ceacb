#include "tools/assentctl/top_view.h"

#include <algorithm>
#include <cstdio>

#include "tools/assentctl/cause_view.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/server_view.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// Rows of the page that are no rows of a list.
constexpr std::size_t kOtherRows = 13;
constexpr int kFewestRows = 3;

double PerSecond(std::uint64_t before, std::uint64_t now, std::int64_t ms) {
  // A coordinator that was started again counts from nothing.
  const std::uint64_t more = now < before ? now : now - before;
  return ms <= 0 ? 0 : static_cast<double>(more) * 1000.0 / static_cast<double>(ms);
}

std::string Rate(double per_second) {
  char text[32];
  std::snprintf(text, sizeof text, per_second >= 10 || per_second == 0 ? "%.0f/s" : "%.1f/s",
                per_second);
  return text;
}

std::string Pad(const std::string& text, std::size_t columns) {
  return text + std::string(columns - std::min(columns, Columns(text)), ' ');
}

std::int64_t OldestOf(const v1::ListCausesReply& causes) {
  std::int64_t oldest = 0;
  for (const v1::Cause& cause : causes.causes()) {
    if (oldest == 0 || cause.oldest_unix_ms() < oldest) oldest = cause.oldest_unix_ms();
  }
  return oldest;
}

struct Rates {
  double begun = 0;
  double committed = 0;
  double aborted = 0;
};
Rates RatesOf(const Sighting& before, const Sighting& now) {
  const std::int64_t ms = now.at_unix_ms - before.at_unix_ms;
  return {PerSecond(before.info.begun(), now.info.begun(), ms),
          PerSecond(before.info.committed(), now.info.committed(), ms),
          PerSecond(before.info.aborted(), now.info.aborted(), ms)};
}

// Those of which something is to be said first.
v1::ListParticipantsReply Busiest(const v1::ListParticipantsReply& all, int most) {
  v1::ListParticipantsReply shown = all;
  std::stable_sort(shown.mutable_participants()->begin(), shown.mutable_participants()->end(),
                   [](const auto& a, const auto& b) {
                     if (a.waiting() != b.waiting()) return a.waiting() > b.waiting();
                     return a.queued() > b.queued();
                   });
  if (shown.participants_size() > most) {
    shown.mutable_participants()->DeleteSubrange(most, shown.participants_size() - most);
  }
  return shown;
}

std::string Head(const Sighting& before, const Sighting& now, const std::string& endpoint,
                 const Style& style) {
  const v1::ServerInfo& info = now.info;
  const Rates rates = RatesOf(before, now);
  std::string text = "assentd " + Visible(info.version()) + " at " + Visible(endpoint) + ", up " +
                     FormatDuration(now.at_unix_ms - info.started_unix_ms());
  if (!info.refusing().empty())
    text += "  " + Paint("refuses: " + Visible(info.refusing()), Tone::kBad, style);
  text += "\n" + Pad("begun " + Rate(rates.begun), 20) +
          Pad("committed " + Rate(rates.committed), 24) + "aborted " + Rate(rates.aborted) + "\n";
  const std::int64_t oldest = OldestOf(now.causes);
  text += Pad("active " + Grouped(info.active()), 20) +
          Pad("committing " + Grouped(info.committing()), 24) + "aborting " +
          Grouped(info.aborting()) +
          (oldest > 0 ? "   oldest " + FormatDuration(now.at_unix_ms - oldest) : "") + "\n";
  if (info.needs_operator() > 0)
    text += Paint(Grouped(info.needs_operator()) + " need a human", Tone::kBad, style) + "\n";
  const int silent = static_cast<int>(
      std::count_if(info.members().begin(), info.members().end(),
                    [](const v1::MemberInfo& member) { return !member.has_info(); }));
  if (silent > 0) {
    text += Paint(std::to_string(silent) + " of " + std::to_string(info.members_size()) +
                      " coordinators did not answer: the figures are without theirs",
                  Tone::kBad, style) +
            "\n";
  }
  return text;
}

Json TopJson(const Sighting& before, const Sighting& now) {
  const Rates rates = RatesOf(before, now);
  return {{"at_unix_ms", now.at_unix_ms},
          {"begun_per_second", rates.begun},
          {"committed_per_second", rates.committed},
          {"aborted_per_second", rates.aborted},
          {"server", ToJson(now.info, {})},
          {"causes", ToJson(now.causes, {})},
          {"participants", ToJson(now.participants, {})}};
}

}  // namespace

std::string RenderTop(const Sighting& before, const Sighting& now, const std::string& endpoint,
                      const Style& style, std::size_t rows) {
  switch (style.output) {
    case Output::kJson: return PrettyJson(TopJson(before, now));
    case Output::kJsonl: return LineJson(TopJson(before, now));
    case Output::kYaml: return Yaml(TopJson(before, now));
    case Output::kTable:
    case Output::kWide:
    case Output::kId: break;
  }
  Style table = style;
  table.output = Output::kTable;
  const int half =
      rows == 0 ? 1'000'000
                : std::max(kFewestRows,
                           static_cast<int>(rows > kOtherRows ? (rows - kOtherRows) / 2 : 0));
  v1::ListCausesReply causes = now.causes;
  const int left_out = causes.causes_size() - half;
  if (left_out > 0) causes.mutable_causes()->DeleteSubrange(half, left_out);
  std::string text = Head(before, now, endpoint, style);
  const Alikes alikes = AlikesOf(now.participants);
  text += "\n" +
          (causes.causes().empty() ? "nothing unfinished\n" : RenderCauses(causes, table, alikes));
  if (left_out > 0) text += "... and " + Count(static_cast<std::uint64_t>(left_out), "row") + "\n";
  if (now.participants.participants().empty()) return text;
  const v1::ListParticipantsReply busiest = Busiest(now.participants, half);
  text += "\n" + RenderParticipants(busiest, table, alikes);
  const int more = now.participants.participants_size() - busiest.participants_size();
  if (more > 0) text += "... and " + std::to_string(more) + " more\n";
  return text;
}

}  // namespace assent::ctl

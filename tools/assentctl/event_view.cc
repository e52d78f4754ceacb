#include "tools/assentctl/event_view.h"

#include <assent/number.h>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

Tone ToneOfEvent(const v1::Event& event) {
  switch (event.kind()) {
    case v1::NEEDS_PERSON: return Tone::kBad;
    case v1::SERVICE_AWAY: return Tone::kWarn;
    case v1::NOBODY_WAITS:
    case v1::NEEDS_NOBODY: return Tone::kGood;
    case v1::INTERVENED: return Tone::kStrong;
    case v1::ENDED: return ToneOf(event.outcome());
    case v1::DECIDED: return event.decision() == v1::DECISION_ABORT ? Tone::kWarn : Tone::kPlain;
    case v1::BEGAN: return Tone::kDim;
    default: return Tone::kPlain;
  }
}

// So that lines that come one by one stand below one another.
constexpr std::size_t kKindColumns = 12;

std::string Padded(std::string text, std::size_t columns) {
  if (text.size() < columns) text.append(columns - text.size(), ' ');
  return text;
}

std::string Line(const v1::Event& event, const Style& style) {
  const std::string head = event.sequence() + "  " + FormatIso(event.at_unix_ms()) + "  ";
  std::string rest = Padded(Word(event.kind()), kKindColumns) + "  ";
  if (!event.gid().empty()) rest += Visible(event.gid()) + "  ";
  rest += Visible(event.sentence());
  if (style.columns > head.size() + kKindColumns) rest = Cut(rest, style.columns - head.size());
  return head + Paint(rest, ToneOfEvent(event), style) + "\n";
}

std::string EventsTable(const std::vector<v1::Event>& events, const Style& style) {
  Table table({"SEQUENCE", "TIME", "KIND", "GID", "WHAT"});
  for (const v1::Event& event : events) {
    table.Add({event.sequence(),
               style.time == TimeStyle::kIso ? FormatIso(event.at_unix_ms())
                                             : Moment(event.at_unix_ms(), style),
               {Word(event.kind()), ToneOfEvent(event)},
               {event.gid(), Tone::kStrong},
               event.sentence()});
  }
  return table.empty() ? "" : table.Render(style);
}

}  // namespace

Result<Positions> ReadPositions(std::string_view text) {
  Positions positions;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    const std::string_view one = rest.substr(0, comma);
    const std::size_t dot = one.find('.');
    std::uint64_t epoch = 0;
    std::uint64_t number = 0;
    if (dot == std::string_view::npos || !ReadNumber(one.substr(0, dot), epoch) ||
        !ReadNumber(one.substr(dot + 1), number)) {
      return InvalidArgument("'" + std::string(text) +
                             "' is not EPOCH.N, as the first column of each line has it");
    }
    positions[epoch] = number;
    if (comma == std::string_view::npos) return positions;
    rest.remove_prefix(comma + 1);
  }
}

std::string WritePositions(const Positions& positions, std::uint64_t first) {
  const auto write = [](const auto& one) {
    return std::to_string(one.first) + "." + std::to_string(one.second);
  };
  std::string text;
  const auto own = positions.find(first);
  if (own != positions.end()) text = write(*own);
  for (const auto& one : positions) {
    if (one.first != first) text += (text.empty() ? "" : ",") + write(one);
  }
  return text;
}

std::string RenderEvent(const v1::Event& event, const Style& style) {
  switch (style.output) {
    case Output::kTable:
    case Output::kWide: return Line(event, style);
    case Output::kJson:
    case Output::kJsonl: return LineJson(ToJson(event, {}));
    case Output::kYaml: return "---\n" + Yaml(ToJson(event, {}));
    case Output::kId: break;
  }
  return event.gid().empty() ? "" : Visible(event.gid()) + "\n";
}

std::string RenderEvents(const std::vector<v1::Event>& events, const std::string& position,
                         const Style& style) {
  if (style.table()) return EventsTable(events, style);
  if (style.output == Output::kJson || style.output == Output::kYaml) {
    Json list = Json::array();
    for (const v1::Event& event : events) list.push_back(ToJson(event, {}));
    const Json json = {{"events", std::move(list)}, {"position", position}};
    return style.output == Output::kJson ? PrettyJson(json) : Yaml(json);
  }
  std::string text;
  for (const v1::Event& event : events) text += RenderEvent(event, style);
  return text;
}

}  // namespace assent::ctl

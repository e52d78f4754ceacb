#include "tools/assentctl/cause_view.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

Tone ToneOf(const v1::Cause& cause) {
  if (cause.needs_operator() > 0 || cause.kind() == v1::CONTRADICTED) return Tone::kBad;
  const bool goes_well = cause.kind() == v1::NOT_ANSWERED || cause.kind() == v1::NOT_SEALED ||
                         cause.kind() == v1::UNDER_WAY;
  return goes_well ? Tone::kDim : Tone::kPlain;
}

std::string NeedAHuman(const v1::Cause& cause) {
  if (cause.needs_operator() == 0) return "";
  if (cause.needs_operator() == cause.count()) return cause.count() == 1 ? "yes" : "all";
  return Grouped(cause.needs_operator());
}

std::string States(const v1::Cause& cause) {
  std::string text;
  for (const v1::StateCount& one : cause.states())
    text += (text.empty() ? "" : ", ") + Grouped(one.count()) + " " + Word(one.state());
  return text;
}

std::string Age(const v1::Cause& cause, const Style& style) {
  if (style.time == TimeStyle::kIso) return FormatIso(cause.oldest_unix_ms());
  return FormatDuration(style.now_unix_ms - cause.oldest_unix_ms());
}

bool IsAbsent(const v1::Cause& cause) {
  return cause.kind() == v1::NOT_CONNECTED || std::find(cause.kinds().begin(), cause.kinds().end(),
                                                        v1::NOT_CONNECTED) != cause.kinds().end();
}

std::string Why(const v1::Cause& cause, const Alikes& alikes) {
  const std::string alike = IsAbsent(cause) ? AlikeTo(alikes, cause.service()) : "";
  return cause.sentence() + (alike.empty() ? "" : " (" + alike + ")");
}

std::string CausesTable(const v1::ListCausesReply& causes, const Style& style,
                        const Alikes& alikes) {
  std::vector<std::string> header = {"COUNT", "OLDEST", "NEEDS A HUMAN", "KEY"};
  if (style.wide()) header.insert(header.end(), {"STATES", "OLDEST GID"});
  header.emplace_back("WHY");
  Table table(header);
  for (const v1::Cause& cause : causes.causes()) {
    std::vector<Cell> row = {{Grouped(cause.count()), Tone::kStrong},
                             Age(cause, style),
                             {NeedAHuman(cause), Tone::kBad},
                             cause.key()};
    if (style.wide()) {
      row.emplace_back(States(cause));
      row.emplace_back(cause.gids().empty() ? "" : cause.gids(0));
    }
    row.emplace_back(Why(cause, alikes), ToneOf(cause));
    table.Add(std::move(row));
  }
  return table.empty() ? "" : table.Render(style);
}

}  // namespace

v1::ListCausesRequest CausesRequestOf(const v1::ListRequest& request) {
  v1::ListCausesRequest causes;
  ASSENT_CHECK(causes.ParseFromString(request.SerializeAsString()));
  causes.DiscardUnknownFields();
  return causes;
}

bool HasAbsent(const v1::ListCausesReply& causes) {
  return std::any_of(causes.causes().begin(), causes.causes().end(), IsAbsent);
}

std::string RenderCauses(const v1::ListCausesReply& causes, const Style& style,
                         const Alikes& alikes) {
  switch (style.output) {
    case Output::kTable:
    case Output::kWide: return CausesTable(causes, style, alikes);
    case Output::kJson: return PrettyJson(ToJson(causes, {}));
    case Output::kYaml: return Yaml(ToJson(causes, {}));
    case Output::kJsonl:
    case Output::kId: break;
  }
  std::string text;
  for (const v1::Cause& cause : causes.causes())
    text += style.output == Output::kId ? Visible(cause.key()) + "\n" : LineJson(ToJson(cause, {}));
  return text;
}

std::string CausesFooter(const v1::ListCausesReply& causes) {
  std::string text = Grouped(causes.total()) + " unfinished, " +
                     Count(static_cast<std::uint64_t>(causes.causes_size()), "row");
  if (causes.others() > 0)
    text += "; " + Grouped(causes.others()) + " are of further causes, which have no room";
  return text + "; a row opens with: assentctl list --cause KEY\n";
}

}  // namespace assent::ctl

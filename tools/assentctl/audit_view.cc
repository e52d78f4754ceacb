#include "tools/assentctl/audit_view.h"

#include <vector>

#include "tools/assentctl/json_out.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// "resolve order-17/2 DECISION_ABORT".
std::string What(const v1::AuditEntry& entry) {
  std::string text = entry.verb();
  if (!entry.gid().empty()) text += " " + entry.gid();
  if (!entry.branch_id().empty()) text += "/" + entry.branch_id();
  if (!entry.detail().empty()) text += " " + entry.detail();
  if (entry.times() > 1) text += " (" + std::to_string(entry.times()) + " times)";
  return text;
}

Cell ResultCell(const v1::AuditEntry& entry) {
  if (entry.result().empty()) return {"not known", Tone::kWarn};
  return {entry.result(), entry.result() == "OK" ? Tone::kGood : Tone::kBad};
}

// "token:support (as ann)".
std::string Who(const v1::AuditEntry& entry) {
  const std::string who = entry.who().empty() ? "nobody known" : entry.who();
  return entry.claims().empty() ? who : who + " (as " + entry.claims() + ")";
}

// Why it was done; why it was not.
std::string Why(const v1::AuditEntry& entry) {
  if (entry.result().empty() || entry.result() == "OK") return entry.reason();
  return entry.effect() + (entry.reason().empty() ? "" : " (wanted: " + entry.reason() + ")");
}

std::string AuditTable(const v1::ListAuditReply& page, const Style& style) {
  Table table(style.wide() ? std::vector<std::string>{"WHEN", "WHO", "WHAT", "RESULT", "FROM",
                                                      "NODE", "BEFORE", "EFFECT", "REASON"}
                           : std::vector<std::string>{"WHEN", "WHO", "WHAT", "RESULT", "REASON"});
  for (const v1::AuditEntry& entry : page.entries()) {
    std::vector<Cell> row = {Moment(entry.at_unix_ms(), style),
                             {Who(entry), Tone::kStrong},
                             What(entry),
                             ResultCell(entry)};
    if (style.wide()) {
      for (const std::string& text :
           {entry.address(), entry.node(), entry.before(), entry.effect(), entry.reason()})
        row.emplace_back(text);
    } else {
      row.emplace_back(Why(entry));
    }
    table.Add(std::move(row));
  }
  return table.empty() ? "" : table.Render(style);
}

}  // namespace

std::string RenderAudit(const v1::ListAuditReply& page, const Style& style) {
  switch (style.output) {
    case Output::kTable:
    case Output::kWide: return AuditTable(page, style);
    case Output::kJson: return PrettyJson(ToJson(page, {}));
    case Output::kYaml: return Yaml(ToJson(page, {}));
    case Output::kJsonl:
    case Output::kId: break;
  }
  std::string text;
  for (const v1::AuditEntry& entry : page.entries()) {
    if (style.output == Output::kJsonl)
      text += LineJson(ToJson(entry, {}));
    else if (!entry.gid().empty())
      text += Visible(entry.gid()) + "\n";
  }
  return text;
}

}  // namespace assent::ctl

#include "tools/assentctl/show_view.h"

#include <algorithm>
#include <map>
#include <string_view>

#include <assent/trace.h>

#include "tools/assentctl/branch_view.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/list_view.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/timeline.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

// "COMMITTING, needs a human", "FINISHED ABORTED".
Cell Headline(const v1::Transaction& transaction, const Style& style) {
  std::string text = Word(transaction.state());
  Tone tone = Tone::kPlain;
  if (transaction.outcome() != v1::OUTCOME_UNSPECIFIED && transaction.state() == v1::FINISHED) {
    text += " " + Word(transaction.outcome());
    tone = ToneOf(transaction.outcome());
  }
  if (transaction.open()) text += ", open (waits for the initiator's commit)";
  const std::string attention = Attention(transaction, style.now_unix_ms);
  if (!attention.empty()) {
    text += ", " + attention;
    tone = transaction.needs_operator() ? Tone::kBad : Tone::kWarn;
  }
  return {text, tone};
}

std::string Decided(const v1::Transaction& transaction, const Style& style) {
  if (transaction.decision() == v1::DECISION_UNSPECIFIED) return "not yet";
  return Word(transaction.decision()) + ", durable " +
         Moment(transaction.decided_unix_ms(), style) + " (" +
         FormatDuration(transaction.decided_unix_ms() - transaction.began_unix_ms()) +
         " after it began)";
}

// Whose log to read.
std::string Holder(const v1::Holder& holder, const Style& style) {
  return "node " + Visible(holder.node()) + " at " + Visible(holder.address()) + ", since " +
         Moment(holder.since_unix_ms(), style);
}

bool WaitsForAbsent(const v1::Branch& branch) {
  const auto& attempts = branch.attempts();
  return !IsFinal(branch.state()) && !attempts.empty() &&
         attempts[attempts.size() - 1].result() == v1::Attempt::NOT_SENT;
}

// "paymnet is not there, like: payment".
std::string Spelling(const v1::Transaction& transaction, const Alikes& alikes) {
  std::map<std::string, std::string> words;
  for (const v1::Branch& branch : transaction.branches()) {
    const std::string& service = branch.spec().service();
    const std::string alike = WaitsForAbsent(branch) ? AlikeTo(alikes, service) : "";
    if (!alike.empty()) words[service] = service + " is not there, " + alike;
  }
  std::string text;
  for (const auto& [service, said] : words) text += (text.empty() ? "" : "; ") + said;
  return text;
}

// Where the trace can be looked at, by a template with {trace_id}; nothing but a web page.
std::string TraceLink(std::string url, const std::string& id) {
  constexpr std::string_view kPlace = "{trace_id}";
  if (!url.starts_with("http://") && !url.starts_with("https://")) return "";
  std::size_t at = url.find(kPlace);
  if (at == std::string::npos) return "";
  for (; at != std::string::npos; at = url.find(kPlace, at + id.size()))
    url.replace(at, kPlace.size(), id);
  return url;
}

void AddTrace(const v1::Transaction& transaction, const PageHints& hints, Table& table) {
  const auto trace = ParseTraceparent(transaction.traceparent());
  if (!trace) return;
  const std::string id = Hex(trace->trace_id);
  table.Add({"trace", id + (trace->sampled ? "" : " (not recorded)")});
  const std::string link = TraceLink(hints.trace_url, id);
  if (!link.empty()) table.Add({"trace at", link});
}

std::string Header(const v1::Transaction& transaction, const Style& style, const PageHints& hints) {
  Table table;
  table.Add({"transaction", {transaction.gid(), Tone::kStrong}});
  table.Add({"state", Headline(transaction, style)});
  if (!transaction.why_not_finished().empty()) {
    table.Add({"why", {transaction.why_not_finished(), Tone::kWarn}});
  }
  const std::string spelling = Spelling(transaction, hints.alikes);
  if (!spelling.empty()) table.Add({"spelling", {spelling, Tone::kWarn}});
  if (transaction.outcome() != v1::OUTCOME_UNSPECIFIED && transaction.state() != v1::FINISHED) {
    table.Add({"outcome", {Word(transaction.outcome()), ToneOf(transaction.outcome())}});
  }
  if (!transaction.abort_reason().empty()) {
    table.Add({"aborted for", transaction.abort_reason()});
  }
  if (transaction.has_holder()) table.Add({"coordinator", Holder(transaction.holder(), style)});
  table.Add({"began", Moment(transaction.began_unix_ms(), style)});
  if (!transaction.initiator().empty()) table.Add({"begun by", transaction.initiator()});
  if (transaction.decision() == v1::DECISION_UNSPECIFIED) {
    table.Add({"deadline", Moment(transaction.deadline_unix_ms(), style)});
  }
  table.Add({"decision", Decided(transaction, style)});
  if (transaction.finished_unix_ms() != 0) {
    table.Add({"finished", Moment(transaction.finished_unix_ms(), style)});
  }
  if (transaction.labels_size() > 0) table.Add({"labels", JoinedPairs(transaction.labels())});
  AddTrace(transaction, hints, table);
  if (transaction.recoveries() > 0) {
    table.Add({"recoveries", "taken up again " + Count(transaction.recoveries(), "time") +
                                 ", after a restart or a restore, or by another coordinator"});
  }
  Style uncut = style;  // the why-sentence is never cut
  uncut.columns = 0;
  return table.Render(uncut);
}

std::string Page(const v1::Transaction& transaction, const Style& style, const PageHints& hints) {
  std::string text = Header(transaction, style, hints);
  const auto section = [&](std::string_view title, const std::string& body) {
    if (!body.empty()) text += "\n" + Paint(title, Tone::kStrong, style) + "\n" + body;
  };
  if (transaction.branches_size() > 0) section("branches", RenderBranches(transaction, style));
  if (style.payloads) section("payloads and results", RenderPayloads(transaction, style));
  section("timeline", RenderTimeline(transaction, style));
  return text;
}

}  // namespace

bool WaitsForAbsent(const v1::Transaction& transaction) {
  return std::any_of(transaction.branches().begin(), transaction.branches().end(),
                     [](const v1::Branch& branch) { return WaitsForAbsent(branch); });
}

std::string RenderTransaction(const v1::Transaction& transaction, const Style& style,
                              const PageHints& hints) {
  const JsonOptions options{.payloads = style.payloads, .summary = false};
  switch (style.output) {
    case Output::kTable:
    case Output::kWide: return Page(transaction, style, hints);
    case Output::kJson: return PrettyJson(ToJson(transaction, options));
    case Output::kJsonl: return LineJson(ToJson(transaction, options));
    case Output::kYaml: return Yaml(ToJson(transaction, options));
    case Output::kId: return Visible(transaction.gid()) + "\n";
  }
  return "";
}

std::string RenderOutcome(const v1::Transaction& transaction, const Style& style) {
  if (!style.table()) return RenderTransaction(transaction, style);
  const bool finished = transaction.state() == v1::FINISHED;
  const bool decided = transaction.decision() != v1::DECISION_UNSPECIFIED;
  const bool known = transaction.outcome() != v1::OUTCOME_UNSPECIFIED;
  std::string text = Visible(transaction.gid()) + "  ";
  text += known ? Paint(Word(transaction.outcome()), ToneOf(transaction.outcome()), style)
                : Word(transaction.state());
  const std::int64_t end =
      finished ? transaction.finished_unix_ms() : transaction.decided_unix_ms();
  if (finished || decided) {
    text += " after " + FormatDuration(end - transaction.began_unix_ms());
  }
  if (!transaction.abort_reason().empty()) text += ": " + Visible(transaction.abort_reason());
  if (!finished && !transaction.why_not_finished().empty()) {
    text += transaction.abort_reason().empty() ? ", " : "; ";
    text += "not finished: " + Visible(transaction.why_not_finished());
  }
  text += "\n";
  Table table;
  for (const v1::Branch& branch : transaction.branches()) {
    if (branch.result().empty()) continue;
    table.Add({branch.spec().branch_id(), branch.spec().service() + "/" + branch.spec().action(),
               ShownBytes(branch.result(), style)});
  }
  return table.empty() ? text : text + table.Render(style, "  ");
}

}  // namespace assent::ctl

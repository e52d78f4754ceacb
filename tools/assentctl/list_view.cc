#include "tools/assentctl/list_view.h"

#include <map>
#include <set>

#include "tools/assentctl/branch_view.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

// "no participant inventory is connected" can be read in so many.
constexpr std::size_t kCauseColumns = 40;

std::string Joined(const std::set<std::string>& words, const char* by) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : by) + word;
  return text;
}

std::string Services(const v1::Transaction& transaction) {
  std::set<std::string> names;
  for (const v1::Branch& branch : transaction.branches()) names.insert(branch.spec().service());
  return Joined(names, ",");
}

std::string Labels(const v1::Transaction& transaction) {
  std::set<std::string> pairs;
  for (const auto& [key, value] : transaction.labels()) pairs.insert(key + "=" + value);
  return Joined(pairs, ",");
}

Cell StateCell(const v1::Transaction& transaction) {
  if (transaction.state() != v1::FINISHED) {
    return {Word(transaction.state()), ToneOf(transaction.state())};
  }
  return {Word(transaction.outcome()), ToneOf(transaction.outcome())};
}

// Why it is not finished, or why it ended as it did.
std::string Why(const v1::Transaction& transaction) {
  if (!transaction.why_not_finished().empty()) return transaction.why_not_finished();
  return transaction.abort_reason();
}

// The same with the cause in front, because the end of a line is what a narrow terminal cuts: "out
// of stock: branch 2 inventory/reserve refused". The sentences of the coordinator name the branch,
// and then the cause.
std::string CauseFirst(const v1::Transaction& transaction) {
  const std::string why = Why(transaction);
  if (transaction.suspended()) return why;  // that is the cause
  const bool at_deadline = why.rfind("deadline of ", 0) == 0;
  for (const v1::Branch& branch : transaction.branches()) {
    const std::string name = BranchName(branch);
    const std::size_t at = why.find(name);
    if (at == std::string::npos) continue;
    const std::string before = why.substr(0, at + name.size());
    const std::string after = why.substr(at + name.size());
    for (const std::string_view by : {", last: ", " refused: ", ": "}) {
      const std::size_t cause = after.find(by);
      const bool near = by == ": " ? cause == 0 && at_deadline : cause != std::string::npos;
      if (!near) continue;
      const std::string said = after.substr(cause + by.size());
      std::string verb(by.substr(0, by.find(':')));
      if (by == ", last: ") verb.clear();
      return said + ": " + before + after.substr(0, cause) + verb;
    }
  }
  return why;
}

std::string Age(const v1::Transaction& transaction, const Style& style) {
  if (style.time == TimeStyle::kIso) return FormatIso(transaction.began_unix_ms());
  return FormatDuration(style.now_unix_ms - transaction.began_unix_ms());
}

// Where WHY stands, by the terminal's width.
enum class Shape : std::uint8_t { kFull, kFewColumns, kBelow };

Table ListTable(const v1::ListReply& page, const Style& style, Shape shape) {
  std::vector<std::string> header = {"GID", "STATE", "ATTENTION",
                                     style.time == TimeStyle::kIso ? "BEGAN" : "AGE"};
  if (shape == Shape::kFull) header.insert(header.end(), {"PROTOCOL", "THROUGH"});
  if (style.wide()) header.insert(header.end(), {"SERVICES", "LABELS", "DEADLINE", "RECOVERIES"});
  if (shape != Shape::kBelow) header.emplace_back("WHY");
  Table table(header);
  for (const v1::Transaction& transaction : page.transactions()) {
    const Tone attention = transaction.needs_operator() ? Tone::kBad : Tone::kWarn;
    std::vector<Cell> row = {{transaction.gid(), Tone::kStrong},
                             StateCell(transaction),
                             {Attention(transaction, style.now_unix_ms), attention},
                             Age(transaction, style)};
    if (shape == Shape::kFull) {
      row.emplace_back(Protocols(transaction));
      row.emplace_back(Progress(transaction));
    }
    if (style.wide()) {
      row.emplace_back(Services(transaction));
      row.emplace_back(Labels(transaction));
      row.emplace_back(
          transaction.state() != v1::ACTIVE ? "-" : Moment(transaction.deadline_unix_ms(), style));
      row.emplace_back(std::to_string(transaction.recoveries()));
    }
    const std::string why =
        style.columns > 0 && !style.wide() ? CauseFirst(transaction) : Why(transaction);
    if (shape != Shape::kBelow) row.emplace_back(why);
    table.Add(std::move(row));
    if (shape == Shape::kBelow && !why.empty()) table.AddBelow(why);
  }
  return table;
}

// A terminal that has no room for the cause beside all columns shows fewer, and one that has none
// beside those shows it below: it is the last thing to be cut.
std::string ListTable(const v1::ListReply& page, const Style& style) {
  if (page.transactions().empty()) return "";
  for (const Shape shape : {Shape::kFull, Shape::kFewColumns}) {
    const Table table = ListTable(page, style, shape);
    if (style.columns == 0 || style.wide() ||
        table.ColumnsBeforeLast() + kCauseColumns <= style.columns)
      return table.Render(style);
  }
  return ListTable(page, style, Shape::kBelow).Render(style);
}

}  // namespace

std::string Attention(const v1::Transaction& transaction, std::int64_t now_unix_ms) {
  std::string text;
  const auto add = [&text](const char* word) {
    text += (text.empty() ? "" : ", ") + std::string(word);
  };
  if (transaction.needs_operator()) add("needs a human");
  if (transaction.suspended()) add(transaction.held() ? "held" : "suspended");
  // A decided transaction has met its deadline, however long carrying it out takes; that of one
  // that is held sleeps.
  const bool overdue = transaction.state() == v1::ACTIVE && transaction.deadline_unix_ms() > 0 &&
                       transaction.deadline_unix_ms() < now_unix_ms && !transaction.held();
  if (overdue) add("overdue");
  return text;
}

std::string Protocols(const v1::Transaction& transaction) {
  std::map<int, std::string> by_number;
  for (const v1::Branch& branch : transaction.branches()) {
    by_number[branch.spec().protocol()] = Word(branch.spec().protocol());
  }
  std::string text;
  for (const auto& [number, word] : by_number) text += (text.empty() ? "" : "+") + word;
  return text.empty() ? "-" : text;
}

std::string Progress(const v1::Transaction& transaction) {
  int through = 0;
  for (const v1::Branch& branch : transaction.branches()) {
    const bool executed = transaction.state() == v1::ACTIVE && branch.state() == v1::EXECUTED;
    if (executed || IsFinal(branch.state())) ++through;
  }
  return std::to_string(through) + "/" + std::to_string(transaction.branches_size());
}

std::string RenderList(const v1::ListReply& page, const Style& style) {
  const JsonOptions options{.payloads = false, .summary = true};
  switch (style.output) {
    case Output::kTable:
    case Output::kWide: return ListTable(page, style);
    case Output::kJson: return PrettyJson(ToJson(page, options));
    case Output::kYaml: return Yaml(ToJson(page, options));
    case Output::kJsonl:
    case Output::kId: break;
  }
  std::string text;
  for (const v1::Transaction& transaction : page.transactions()) {
    text += style.output == Output::kId ? Visible(transaction.gid()) + "\n"
                                        : LineJson(ToJson(transaction, options));
  }
  return text;
}

}  // namespace assent::ctl

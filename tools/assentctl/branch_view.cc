#include "tools/assentctl/branch_view.h"

#include <algorithm>
#include <map>

#include "proto/json/bytes.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {

std::string JoinedPairs(const google::protobuf::Map<std::string, std::string>& pairs) {
  std::string text;
  for (const auto& [key, value] : std::map<std::string, std::string>(pairs.begin(), pairs.end())) {
    text += (text.empty() ? "" : ", ") + key + "=" + value;
  }
  return text;
}

std::string BranchName(const v1::Branch& branch) {
  return "branch " + branch.spec().branch_id() + " " + branch.spec().service() + "/" +
         branch.spec().action();
}

std::string ShownBytes(const std::string& bytes, const Style& style, std::uint64_t size) {
  if (bytes.empty() && size > 0) return "<" + FormatBytes(size) + ", left out>";
  if (json::IsText(bytes)) return Visible(bytes);
  if (!style.payloads) return "<" + FormatBytes(bytes.size()) + ", not text>";
  if (style.bytes == BytesStyle::kHex) return "hex:" + ToHex(bytes);
  return "base64:" + json::ToBase64(bytes);
}

namespace {

std::string Next(const v1::Branch& branch, bool suspended, const Style& style) {
  if (branch.operation() == v1::OPERATION_UNSPECIFIED) return "";
  if (suspended && branch.next_attempt_unix_ms() != 0) return Word(branch.operation()) + ", held";
  if (branch.next_attempt_unix_ms() == 0) return Word(branch.operation());
  return Word(branch.operation()) + " " + Moment(branch.next_attempt_unix_ms(), style);
}

std::string Options(const v1::BranchSpec& spec) {
  std::string text;
  const auto add = [&text](const std::string& word) { text += (text.empty() ? "" : ", ") + word; };
  if (spec.pivot()) add("pivot");
  if (spec.check_back()) add("its initiator commits it by itself, and is asked");
  if (spec.receive_results()) add("receives results");
  if (spec.attempt_timeout_ms() > 0) add("timeout " + FormatDuration(spec.attempt_timeout_ms()));
  if (spec.retry().max_attempts() > 0)
    add("at most " + Count(spec.retry().max_attempts(), "attempt"));
  if (spec.headers_size() > 0) add("headers " + JoinedPairs(spec.headers()));
  return text;
}

std::string After(const v1::BranchSpec& spec) {
  std::string text;
  for (const std::string& id : spec.after()) text += (text.empty() ? "" : ",") + id;
  return text;
}

}  // namespace

std::string RenderBranches(const v1::Transaction& transaction, const Style& style) {
  Table table({"ID", "PROTOCOL", "SERVICE/ACTION", "AFTER", "STATE", "", "TRIES", "NEXT", "PAYLOAD",
               style.wide() ? "OPTIONS" : "", "RESULT", "LAST ERROR"});
  for (const v1::Branch& branch : transaction.branches()) {
    const v1::BranchSpec& spec = branch.spec();
    std::string note = branch.needs_operator() ? "needs a human" : "";
    if (branch.resolved() != v1::DECISION_UNSPECIFIED) {
      note = "resolved " + Word(branch.resolved());
    }
    table.Add(
        {{spec.branch_id(), Tone::kStrong},
         Word(spec.protocol()) + (spec.pivot() ? " pivot" : ""),
         spec.service() + "/" + spec.action(),
         After(spec),
         {Word(branch.state()), ToneOf(branch.state())},
         {note, Tone::kBad},
         branch.attempt_count() == 0 ? "" : std::to_string(branch.attempt_count()),
         Next(branch, transaction.suspended(), style),
         FormatBytes(std::max<std::uint64_t>(spec.payload_bytes(), spec.payload().size())),
         style.wide() ? Options(spec) : "",
         Cut(ShownBytes(branch.result(), style, branch.result_bytes()), style.wide() ? 256 : 40),
         branch.last_error()});
  }
  return table.Render(style, "  ");
}

std::string RenderPayloads(const v1::Transaction& transaction, const Style& style) {
  Table table;
  Style uncut = style;
  uncut.columns = 0;
  for (const v1::Branch& branch : transaction.branches()) {
    const auto add = [&](const char* what, const std::string& bytes, std::uint64_t size) {
      if (bytes.empty() && size == 0) return;
      table.Add({branch.spec().branch_id(), what, ShownBytes(bytes, style, size)});
    };
    add("payload", branch.spec().payload(), branch.spec().payload_bytes());
    add("result", branch.result(), branch.result_bytes());
  }
  return table.empty() ? "" : table.Render(uncut, "  ");
}

}  // namespace assent::ctl

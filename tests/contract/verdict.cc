#include "tests/contract/verdict.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "tests/contract/limits.h"

namespace assent::contract {
namespace {

const char* KindName(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::kHolds: return "holds";
    case Verdict::Kind::kBroken: return "broken";
    case Verdict::Kind::kDoesNotApply: return "does not apply";
  }
  return "";
}

std::size_t Count(const std::vector<Verdict>& verdicts, Verdict::Kind kind) {
  return static_cast<std::size_t>(std::count_if(verdicts.begin(), verdicts.end(),
                                                [&](const Verdict& v) { return v.kind == kind; }));
}

std::string Padded(std::string text, std::size_t width) {
  text.append(text.size() < width ? width - text.size() : 1, ' ');
  return text;
}

}  // namespace

bool Findings::Expect(bool holds, std::string_view expected, std::string_view seen) {
  ++checks_;
  if (holds) return true;
  ++fault_count_;
  const std::string about = about_.empty() ? "" : about_ + ": ";
  if (faults_.size() < kMaxFaultsPerRuleCount)
    faults_.push_back({about + std::string(expected), std::string(seen)});
  return false;
}

Verdict VerdictOf(std::string rule, std::string sentence, const Findings& findings,
                  double seconds) {
  Verdict verdict;
  verdict.rule = std::move(rule);
  verdict.sentence = std::move(sentence);
  verdict.checks = findings.checks();
  verdict.faults = findings.faults();
  verdict.more_faults = findings.fault_count() - findings.faults().size();
  verdict.seconds = seconds;
  if (!findings.ok()) {
    verdict.kind = Verdict::Kind::kBroken;
  } else if (!findings.why_not().empty()) {
    verdict.kind = Verdict::Kind::kDoesNotApply;
    verdict.why_not = findings.why_not();
  } else if (findings.checks() == 0) {
    verdict.kind = Verdict::Kind::kBroken;
    verdict.faults.push_back({"this rule looks at something", "it looked at nothing"});
  }
  return verdict;
}

bool AnyBroken(const std::vector<Verdict>& verdicts) {
  return Count(verdicts, Verdict::Kind::kBroken) != 0;
}

std::string AsText(const Verdict& verdict) {
  std::string text = Padded(KindName(verdict.kind), 16) + Padded(verdict.rule, 24);
  text += verdict.kind == Verdict::Kind::kDoesNotApply ? verdict.why_not : verdict.sentence;
  for (const Fault& fault : verdict.faults) {
    text += "\n                expected  " + fault.expected;
    text += "\n                seen      " + fault.seen;
  }
  if (verdict.more_faults != 0)
    text += "\n                and " + std::to_string(verdict.more_faults) + " more";
  return text + "\n";
}

std::string Summary(const std::vector<Verdict>& verdicts) {
  return std::to_string(Count(verdicts, Verdict::Kind::kHolds)) + " hold, " +
         std::to_string(Count(verdicts, Verdict::Kind::kBroken)) + " broken, " +
         std::to_string(Count(verdicts, Verdict::Kind::kDoesNotApply)) + " do not apply\n";
}

std::string AsJson(const std::string& what, const std::vector<Verdict>& verdicts) {
  nlohmann::ordered_json rules = nlohmann::ordered_json::array();
  for (const Verdict& verdict : verdicts) {
    nlohmann::ordered_json rule;
    rule["rule"] = verdict.rule;
    rule["sentence"] = verdict.sentence;
    rule["verdict"] = KindName(verdict.kind);
    if (!verdict.why_not.empty()) rule["why_not"] = verdict.why_not;
    rule["checks"] = verdict.checks;
    rule["seconds"] = verdict.seconds;
    rule["faults"] = nlohmann::ordered_json::array();
    for (const Fault& fault : verdict.faults)
      rule["faults"].push_back({{"expected", fault.expected}, {"seen", fault.seen}});
    if (verdict.more_faults != 0) rule["more_faults"] = verdict.more_faults;
    rules.push_back(std::move(rule));
  }
  nlohmann::ordered_json all;
  all["what"] = what;
  all["holds"] = Count(verdicts, Verdict::Kind::kHolds);
  all["broken"] = Count(verdicts, Verdict::Kind::kBroken);
  all["does_not_apply"] = Count(verdicts, Verdict::Kind::kDoesNotApply);
  all["rules"] = std::move(rules);
  return all.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string Printable(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string shown;
  for (const char c : text.substr(0, kMaxShownTextBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      shown += c;
    } else {
      shown.append("\\x").append(1, kDigits[byte >> 4U]).append(1, kDigits[byte & 15U]);
    }
  }
  if (text.size() > kMaxShownTextBytes) shown += "…";
  return shown;
}

}  // namespace assent::contract

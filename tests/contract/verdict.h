#pragma once

// What is said of each rule. Values, and the two ways of printing them.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace assent::contract {

// One thing that was otherwise than the contract says.
struct Fault {
  std::string expected;
  std::string seen;
};

// What one rule has found so far. One thread.
class Findings {
 public:
  // Prefixed to what is said next: "TCC", "session". Empty: nothing.
  void About(std::string what) { about_ = std::move(what); }
  // Returns `holds`. A check that never looks is no check: a rule that has neither expected
  // anything nor said why it does not apply has failed.
  bool Expect(bool holds, std::string_view expected, std::string_view seen);
  void DoesNotApply(std::string why) { why_not_ = std::move(why); }

  bool ok() const { return fault_count_ == 0; }
  std::size_t checks() const { return checks_; }
  const std::vector<Fault>& faults() const { return faults_; }
  std::size_t fault_count() const { return fault_count_; }
  const std::string& why_not() const { return why_not_; }

 private:
  std::string about_;
  std::string why_not_;
  std::size_t checks_ = 0;
  std::size_t fault_count_ = 0;
  std::vector<Fault> faults_;  // the first kMaxFaultsPerRuleCount
};

struct Verdict {
  enum class Kind { kHolds, kBroken, kDoesNotApply };
  std::string rule;
  std::string sentence;
  Kind kind = Kind::kHolds;
  std::string why_not;  // kDoesNotApply
  std::size_t checks = 0;
  std::vector<Fault> faults;  // kBroken
  std::size_t more_faults = 0;
  double seconds = 0;
};

Verdict VerdictOf(std::string rule, std::string sentence, const Findings& findings, double seconds);
bool AnyBroken(const std::vector<Verdict>& verdicts);
// A line for each rule, and under a broken one what was expected and what was seen.
std::string AsText(const Verdict& verdict);
std::string Summary(const std::vector<Verdict>& verdicts);
// {"what": …, "holds": n, "broken": n, "does_not_apply": n, "rules": [{"rule": …, "sentence": …,
// "verdict": "holds" | "broken" | "does not apply", "why_not": …, "faults": [{"expected": …,
// "seen": …}], …}]}
std::string AsJson(const std::string& what, const std::vector<Verdict>& verdicts);

// At most kMaxShownTextBytes, bytes that are no printable ASCII as \xNN.
std::string Printable(std::string_view text);

}  // namespace assent::contract

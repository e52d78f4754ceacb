#pragma once

// The language of the golden scenarios; README.md in this folder is its reference.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/transaction.h"
#include "tests/core/rig.h"

namespace assent::core::testing {

// A line of a script: words, of which the last may be a quoted text.
struct Line {
  std::vector<std::string> words;
  std::string text;
  bool has_text = false;

  // The value of a word "key=value"; empty if there is none.
  std::string Value(std::string_view key) const;
  bool Has(std::string_view word) const;
};
Line ParseLine(std::string_view line);
Micros ParseDuration(std::string_view text);  // "250ms", "5s", "2min", "1h"
std::string ShowDuration(Micros duration);    // the same, exact

class Script {
 public:
  // Runs one block (lines that begin with two spaces belong to the line before) and returns what
  // came of it. A mistake in the script itself is a std::runtime_error.
  std::string Run(const std::vector<std::string>& block);

 private:
  void Execute(const Line& line, const std::vector<Line>& below);
  void BeginTransaction(const Line& line, const std::vector<Line>& branches);
  void AddOne(const Line& line);
  void Advance(Micros time);
  void CrashAndRecover(const Line& line);
  bool Ask(const Line& line);
  bool Operate(const Line& line);
  void Answer(const Line& line);
  void Apply(const Event& event);
  void Show(const Step& step);
  void ShowState();
  void Print(std::string line);
  const Transaction& transaction() const;
  BranchIndex FindBranch(const std::string& id) const;

  std::unique_ptr<Rig> rig_;
  std::string shown_state_;
  std::string shown_reason_;
  std::string output_;
};

}  // namespace assent::core::testing

#include "tools/assentctl/watch_view.h"

#include <algorithm>
#include <vector>

#include "tools/assentctl/branch_view.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/list_view.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/timeline.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

// Collects lines with their times, and gives them back in the order in which they happened.
class Lines {
 public:
  Lines(const v1::Transaction& transaction, const Style& style)
      : transaction_(transaction), style_(style) {}

  void Add(std::int64_t at_unix_ms, const std::string& text, Tone tone = Tone::kPlain) {
    lines_.push_back(
        {at_unix_ms == 0 ? style_.now_unix_ms : at_unix_ms, Paint(Visible(text), tone, style_)});
  }
  std::string Text() {
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const Line& left, const Line& right) { return left.at < right.at; });
    std::string text;
    for (const Line& line : lines_) {
      text += TimelineMoment(line.at, transaction_, style_) + "  " + line.text + "\n";
    }
    return text;
  }

 private:
  struct Line {
    std::int64_t at;
    std::string text;
  };
  const v1::Transaction& transaction_;
  const Style& style_;
  std::vector<Line> lines_;
};

const v1::Branch* FindBranch(const v1::Transaction& transaction, const std::string& id) {
  for (const v1::Branch& branch : transaction.branches()) {
    if (branch.spec().branch_id() == id) return &branch;
  }
  return nullptr;
}

// Whether `attempt` was already known, with the same result.
bool Seen(const v1::Branch* before, const v1::Attempt& attempt) {
  if (before == nullptr) return false;
  return std::any_of(before->attempts().begin(), before->attempts().end(), [&](const auto& old) {
    return old.operation() == attempt.operation() && old.number() == attempt.number() &&
           old.result() == attempt.result();
  });
}

// By content: the coordinator keeps a limited number, older ones give way.
bool Seen(const v1::Transaction& before, const v1::Intervention& person) {
  return std::any_of(
      before.interventions().begin(), before.interventions().end(), [&](const auto& old) {
        return old.at_unix_ms() == person.at_unix_ms() && old.verb() == person.verb() &&
               old.who() == person.who() && old.branch_id() == person.branch_id();
      });
}

void AddAttempt(const std::string& name, const v1::Attempt& attempt, std::int64_t decided_unix_ms,
                Lines& lines) {
  const std::int64_t started = ShownStart(attempt, decided_unix_ms);
  std::string text =
      name + ": " + Word(attempt.operation()) + " try " + std::to_string(attempt.number()) + " ";
  if (attempt.result() == v1::Attempt::IN_FLIGHT) {
    lines.Add(started, text + "sent", Tone::kDim);
    return;
  }
  text += Word(attempt.result()) + " after " + FormatLatency(attempt.latency_us());
  if (!attempt.error().empty()) text += ": " + attempt.error();
  lines.Add(started + attempt.latency_us() / 1'000, text, ToneOf(attempt.result()));
}

void AddBranch(const v1::Branch* before, const v1::Branch& after, std::int64_t decided_unix_ms,
               Lines& lines) {
  const std::string name = BranchName(after);
  if (before == nullptr) lines.Add(0, name + " (" + Word(after.spec().protocol()) + ") added");
  for (const v1::Attempt& attempt : after.attempts()) {
    if (!Seen(before, attempt)) AddAttempt(name, attempt, decided_unix_ms, lines);
  }
  if (before != nullptr && before->state() != after.state()) {
    lines.Add(0, name + ": " + Word(before->state()) + " -> " + Word(after.state()),
              ToneOf(after.state()));
  }
  const bool worse = after.needs_operator() && (before == nullptr || !before->needs_operator());
  if (worse) lines.Add(0, name + " needs a human: " + after.last_error(), Tone::kBad);
}

void AddWhole(const v1::Transaction& before, const v1::Transaction& after, Lines& lines) {
  if (before.open() && !after.open()) lines.Add(0, "closed: no more branches");
  if (before.decision() != after.decision()) {
    std::string text = "decision " + Word(after.decision()) + " durable";
    if (!after.abort_reason().empty()) text += ": " + after.abort_reason();
    lines.Add(after.decided_unix_ms(), text, Tone::kStrong);
  }
  for (const v1::Intervention& person : after.interventions()) {
    if (Seen(before, person)) continue;
    std::string text = person.verb();
    if (!person.branch_id().empty()) text += " of branch " + person.branch_id();
    text += " by " + person.who();
    if (!person.reason().empty()) text += ": " + person.reason();
    lines.Add(person.at_unix_ms(), text, Tone::kStrong);
  }
  if (before.recoveries() != after.recoveries()) lines.Add(0, "coordinator restarted", Tone::kWarn);
}

void AddEnd(const v1::Transaction& before, const v1::Transaction& after, Lines& lines) {
  if (before.state() != after.state() && after.state() == v1::FINISHED) {
    lines.Add(after.finished_unix_ms(), "finished " + Word(after.outcome()),
              ToneOf(after.outcome()));
  }
}

}  // namespace

std::string RenderChange(const v1::Transaction* before, const v1::Transaction& after,
                         const Style& style) {
  Lines lines(after, style);
  if (before == nullptr) {
    std::string text = after.gid() + " " + Word(after.state());
    if (after.state() == v1::FINISHED) text += " " + Word(after.outcome());
    text += ", " + Protocols(after) + ", " + Progress(after) + " branches through";
    if (!after.why_not_finished().empty()) text += ": " + after.why_not_finished();
    lines.Add(0, text, Tone::kStrong);
    return lines.Text();
  }
  // First, so that a decision comes before what rests on it in the same millisecond.
  AddWhole(*before, after, lines);
  for (const v1::Branch& branch : after.branches()) {
    AddBranch(FindBranch(*before, branch.spec().branch_id()), branch, after.decided_unix_ms(),
              lines);
  }
  AddEnd(*before, after, lines);
  return lines.Text();
}

}  // namespace assent::ctl

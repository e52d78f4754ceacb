#include "coordinator/core/cause.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include <assent/text.h>

#include "coordinator/core/describe.h"

namespace assent::core {
namespace {

// What of an error is looked at: the rest is not worth the time of a shard.
constexpr std::size_t kMaxReadBytes = 512;
// A shorter label may be part of any word.
constexpr std::size_t kMinLabelBytes = 3;
constexpr std::size_t kMaxCodeBytes = 5;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
// Letters of other alphabets are bytes of words as well.
bool IsWord(char c) {
  return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'z') ||
         (static_cast<unsigned char>(c) & 0x80);
}
// Holds parts of one word together: an address, a gid, a file's name.
bool IsJoint(char c) { return std::string_view("._:/-+@#%").find(c) != std::string_view::npos; }

// As a word: a gid may be one letter.
void ReplaceAll(std::string& text, std::string_view what) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    const std::size_t end = at + what.size();
    if ((at == 0 || !IsWord(text[at - 1])) && (end == text.size() || !IsWord(text[end])))
      text.replace(at, what.size(), "#");
  }
}

// Behind these a number says what is wrong: "HTTP 503", "error 1205".
bool NamesACode(std::string_view word) {
  constexpr std::array<std::string_view, 6> kNames{"http",  "code",  "status",
                                                   "error", "errno", "sqlstate"};
  return std::any_of(kNames.begin(), kNames.end(), [&](std::string_view name) {
    return std::equal(word.begin(), word.end(), name.begin(), name.end(),
                      [](char a, char b) { return Lower(a) == b; });
  });
}

// Words with a digit are numbers, times, addresses or somebody's id, and differ from one
// transaction to the next.
std::string WithoutNumbers(std::string_view text, std::string_view service,
                           std::string_view action) {
  std::string out;
  std::string_view before;
  while (!text.empty()) {
    std::size_t end = 0;
    while (end < text.size() && (IsWord(text[end]) || IsJoint(text[end]))) ++end;
    if (end == 0) {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    // Joints at its ends are punctuation.
    std::string_view run = text.substr(0, end);
    text.remove_prefix(end);
    std::size_t from = 0;
    while (from < run.size() && !IsWord(run[from]) && run[from] != '#') ++from;
    out += run.substr(0, from);
    run.remove_prefix(from);
    std::size_t to = run.size();
    while (to > 0 && !IsWord(run[to - 1]) && run[to - 1] != '#') --to;
    const std::string_view word = run.substr(0, to);
    const bool varies =
        std::any_of(word.begin(), word.end(), IsDigit) || word.find('#') != std::string_view::npos;
    const bool is_code = NamesACode(before) && word.size() <= kMaxCodeBytes;
    out += varies && word != service && word != action && !is_code ? "#" : word;
    out += run.substr(to);
    before = word;
  }
  return out;
}

std::string Normalised(const Transaction& t, std::string_view said, const Cause& cause) {
  std::string text(CutReason(said, kMaxReadBytes));
  ReplaceAll(text, t.gid());
  for (const auto& [key, value] : t.spec().labels) {
    if (value.size() >= kMinLabelBytes && value != cause.service && value != cause.action)
      ReplaceAll(text, value);
  }
  text = WithoutNumbers(text, cause.service, cause.action);
  return std::string(CutReason(text, kMaxCauseBytes));
}

// Whether the last attempt that has ended was sent. Of those in a row that were not one entry is
// kept, and the next attempt takes its place: their numbers are missing.
bool WasSent(const Branch& branch) {
  const auto& kept = branch.history.kept();
  if (kept.empty()) return false;
  const Attempt& last = kept.back();
  if (last.result != AttemptResult::kInFlight) return last.result != AttemptResult::kNotSent;
  if (kept.size() < 2) return false;
  const Attempt& before = kept[kept.size() - 2];
  return before.operation == last.operation && before.number + 1 == last.number;
}

CauseKind KindOf(const Branch& branch) {
  if (branch.hazard) return CauseKind::kContradicted;
  if (branch.absent_since != kNever) return CauseKind::kNotConnected;
  const bool sent = WasSent(branch);
  // What could not be sent before is on its way now.
  if (!branch.last_error.empty() && (sent || !branch.in_flight))
    return sent ? CauseKind::kFailing : CauseKind::kNotSentOn;
  return branch.in_flight ? CauseKind::kNotAnswered : CauseKind::kUnderWay;
}

std::string WhySuspended(const Transaction& t) {
  if (t.held()) return "held: the log was put back to an older state";
  const auto& done = t.interventions();
  const auto by = std::find_if(done.rbegin(), done.rend(),
                               [](const Intervention& one) { return one.verb == "suspend"; });
  if (by == done.rend()) return "suspended by a person";
  return "suspended by " + (by->who.empty() ? "a person" : by->who) +
         (by->reason.empty() ? "" : " (" + by->reason + ")");
}

}  // namespace

Cause CauseOf(const Transaction& t) {
  Cause cause;
  if (t.suspended()) {
    cause.kind = t.held() ? CauseKind::kHeld : CauseKind::kSuspended;
    cause.words = Normalised(t, WhySuspended(t), cause);
    return cause;
  }
  const std::optional<HeldUp> held = WhatHoldsItUp(t);
  if (!held) {
    if (!t.sealed()) cause.kind = CauseKind::kNotSealed;
    return cause;
  }
  const BranchSpec& spec = t.spec().branches[held->by];
  const Branch& branch = t.branches()[held->by];
  cause.kind = KindOf(branch);
  switch (cause.kind) {
    case CauseKind::kFailing:
    case CauseKind::kContradicted:
    case CauseKind::kNotAnswered:
      cause.operation = t.Due(held->by);
      cause.action = spec.action;
      [[fallthrough]];
    case CauseKind::kNotConnected:
    case CauseKind::kNotSentOn: cause.service = spec.service; break;
    case CauseKind::kHeld:
    case CauseKind::kSuspended:
    case CauseKind::kNotSealed:
    case CauseKind::kUnderWay: break;
  }
  switch (cause.kind) {
    case CauseKind::kNotSentOn:
    case CauseKind::kFailing:
    case CauseKind::kContradicted: cause.words = Normalised(t, branch.last_error, cause); break;
    case CauseKind::kNotConnected:
    case CauseKind::kNotAnswered:
    case CauseKind::kHeld:
    case CauseKind::kSuspended:
    case CauseKind::kNotSealed:
    case CauseKind::kUnderWay: break;
  }
  return cause;
}

std::string_view Name(CauseKind kind) {
  switch (kind) {
    case CauseKind::kNotConnected: return "not connected";
    case CauseKind::kNotSentOn: return "cannot be sent";
    case CauseKind::kFailing: return "failing";
    case CauseKind::kContradicted: return "contradicted";
    case CauseKind::kNotAnswered: return "not answered yet";
    case CauseKind::kHeld: return "held";
    case CauseKind::kSuspended: return "suspended";
    case CauseKind::kNotSealed: return "not closed yet";
    case CauseKind::kUnderWay: return "under way";
  }
  return "?";
}

std::string Sentence(const Cause& cause) {
  const std::string service(cause.service);
  const std::string where =
      service + "/" + std::string(cause.action) + ": " + std::string(Name(cause.operation));
  const std::string words = cause.words.empty() ? "" : ": " + cause.words;
  switch (cause.kind) {
    case CauseKind::kNotConnected: return service + ": not connected";
    case CauseKind::kNotSentOn: return service + ": cannot be sent" + words;
    case CauseKind::kFailing: return where + " fails" + words;
    case CauseKind::kContradicted: return where + " is contradicted" + words;
    case CauseKind::kNotAnswered: return where + " is not answered yet";
    case CauseKind::kHeld:
    case CauseKind::kSuspended: return cause.words;
    case CauseKind::kNotSealed: return "the initiator has not said Commit yet";
    case CauseKind::kUnderWay: return "under way";
  }
  return {};
}

}  // namespace assent::core

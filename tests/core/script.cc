#include "tests/core/script.h"

#include <stdexcept>
#include <utility>
#include <variant>

#include "coordinator/core/describe.h"
#include "coordinator/core/spec.h"

namespace assent::core::testing {
namespace {

std::vector<std::string> Split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find(by, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

Millis ParseMillis(const std::string& text) {
  return std::chrono::duration_cast<Millis>(ParseDuration(text));
}

Protocol ParseProtocol(const std::string& text) {
  for (const ProtocolRules& rules : kProtocols) {
    if (Name(rules.protocol) == text) return rules.protocol;
  }
  throw std::runtime_error("not a protocol: " + text);
}

// "a 2pc inventory/reserve after=b,c pivot|check-back results timeout=5s attempts=3 backoff=1s..2s"
BranchSpec ParseBranch(const Line& line) {
  if (line.words.size() < 3)
    throw std::runtime_error("a branch needs id, protocol, service/action");
  BranchSpec branch;
  branch.id = line.words[0];
  branch.protocol = ParseProtocol(line.words[1]);
  const std::size_t slash = line.words[2].find('/');
  if (slash == std::string::npos) throw std::runtime_error("not service/action: " + line.words[2]);
  branch.service = line.words[2].substr(0, slash);
  branch.action = line.words[2].substr(slash + 1);
  branch.payload = line.text;
  branch.after_ids = Split(line.Value("after"), ',');
  branch.pivot = line.Has("pivot") || line.Has("check-back");
  branch.check_back = line.Has("check-back");
  branch.receive_results = line.Has("results");
  if (const std::string v = line.Value("timeout"); !v.empty())
    branch.attempt_timeout = ParseMillis(v);
  if (const std::string v = line.Value("attempts"); !v.empty())
    branch.retry.max_attempts = static_cast<std::uint32_t>(std::stoul(v));
  if (const std::string v = line.Value("backoff"); !v.empty()) {
    const std::size_t dots = v.find("..");
    branch.retry.initial_backoff = ParseMillis(v.substr(0, dots));
    branch.retry.max_backoff =
        dots == std::string::npos ? branch.retry.initial_backoff : ParseMillis(v.substr(dots + 2));
  }
  return branch;
}

AttemptResult ParseResult(const std::string& word) {
  if (word == "done") return AttemptResult::kDone;
  if (word == "read-only") return AttemptResult::kDoneReadOnly;
  if (word == "refused") return AttemptResult::kRefused;
  if (word == "retry") return AttemptResult::kRetryLater;
  if (word == "unknown") return AttemptResult::kUnknown;
  if (word == "not-sent" || word == "absent") return AttemptResult::kNotSent;
  throw std::runtime_error("not an answer: " + word);
}

Operation ParseOperation(std::string_view text) {
  for (int i = 1; i <= static_cast<int>(Operation::kCompensate); ++i) {
    if (Name(static_cast<Operation>(i)) == text) return static_cast<Operation>(i);
  }
  throw std::runtime_error("not an operation: " + std::string(text));
}

std::string_view NameOf(Record record) {
  switch (record) {
    case Record::kNone: return "none";
    case Record::kLazy: return "lazy";
    case Record::kProgress: return "progress";
    case Record::kBegin: return "begin";
    case Record::kDecision: return "decision";
    case Record::kEnd: return "end";
  }
  return "?";
}

std::string Quoted(const std::string& text) { return '"' + text + '"'; }

}  // namespace

const Transaction& Script::transaction() const {
  if (rig_ == nullptr) throw std::runtime_error("there is no transaction: begin one");
  return rig_->transaction();
}

BranchIndex Script::FindBranch(const std::string& id) const {
  const std::size_t index = transaction().FindBranch(id);
  if (index == transaction().branches().size())
    throw std::runtime_error("no branch or word: " + id);
  return static_cast<BranchIndex>(index);
}

void Script::Print(std::string line) { output_ += std::move(line) + "\n"; }

std::string Script::Run(const std::vector<std::string>& block) {
  output_.clear();
  std::vector<std::pair<std::string, std::vector<Line>>> events;
  for (const std::string& line : block) {
    if (line.compare(0, 2, "  ") == 0 && !events.empty()) {
      events.back().second.push_back(ParseLine(line));
    } else {
      events.push_back({line, {}});
    }
  }
  for (const auto& [line, below] : events) {
    if (events.size() > 1) Print("> " + line);
    const std::size_t before = output_.size();
    Execute(ParseLine(line), below);
    if (output_.size() == before) Print("nothing");
    if (rig_ != nullptr && !rig_->broken().empty()) throw std::runtime_error(rig_->broken());
  }
  return output_;
}

void Script::Execute(const Line& line, const std::vector<Line>& below) {
  const std::string& word = line.words.at(0);
  if (word == "begin") {
    BeginTransaction(line, below);
  } else if (word == "add") {
    AddOne(line);
  } else if (word == "advance") {
    Advance(ParseDuration(line.words.at(1)));
  } else if (word == "pass") {  // without a tick
    rig_->PassTime(ParseDuration(line.words.at(1)));
  } else if (word == "wall-jumps") {
    rig_->JumpWall(ParseMillis(line.words.at(1)));
  } else if (word == "crash") {
    CrashAndRecover(line);
  } else if (!Ask(line) && !Operate(line)) {
    Answer(line);
  }
}

void Script::BeginTransaction(const Line& line, const std::vector<Line>& branches) {
  TransactionSpec spec;
  spec.gid = "g1";
  spec.open = line.Has("open");
  if (line.Has("sequential")) spec.ordering = Ordering::kSequential;
  if (line.Has("declared")) spec.ordering = Ordering::kDeclared;
  if (const std::string v = line.Value("deadline"); !v.empty()) spec.deadline = ParseMillis(v);
  for (const Line& branch : branches) spec.branches.push_back(ParseBranch(branch));
  const Status status = Normalise(spec);
  shown_state_.clear();
  shown_reason_.clear();
  if (!status.ok()) {
    rig_.reset();
    Print(status.ToString());
    return;
  }
  rig_ = std::make_unique<Rig>(std::move(spec));
  Apply(Begin{});
}

void Script::AddOne(const Line& line) {
  Line rest = line;
  rest.words.erase(rest.words.begin());
  BranchSpec branch = ParseBranch(rest);
  const Status status = NormaliseAdded(branch, transaction());
  if (!status.ok()) {
    Print(status.ToString());
    return;
  }
  Apply(AddBranch{std::move(branch)});
}

// As a shell would: a tick at each wakeup on the way.
void Script::Advance(Micros time) {
  const MonoTime until = rig_->now().mono + time;
  for (int ticks = 0; transaction().Wakeup() <= until; ++ticks) {
    if (ticks > 10'000) throw std::runtime_error("time does not pass");
    rig_->PassTime(std::max(transaction().Wakeup() - rig_->now().mono, Micros(0)));
    Print("at " + ShowDuration(rig_->elapsed()));
    Apply(Tick{});
    if (!rig_->broken().empty()) return;
  }
  rig_->PassTime(until - rig_->now().mono);
}

void Script::CrashAndRecover(const Line& line) {
  Loss loss = Loss::kNothing;
  if (line.Has("lose-lazy")) loss = Loss::kLazy;
  if (line.Has("lose-last")) loss = Loss::kLast;
  if (loss == Loss::kNothing && !line.Has("keep-lazy"))
    throw std::runtime_error("crash keep-lazy, lose-lazy or lose-last?");
  const std::string down = line.Value("down");
  if (line.Has("behind")) rig_->RaiseGeneration();
  Step recovered;
  if (!rig_->Crash(loss, down.empty() ? Millis(0) : ParseMillis(down), recovered)) {
    Print("nothing of it was durable");
    return;
  }
  shown_state_.clear();
  Print("restored " + std::string(NameOf(rig_->restored())));
  Show(recovered);
}

// Questions, which change nothing. False: it is none.
bool Script::Ask(const Line& line) {
  const std::string& word = line.words[0];
  if (word == "why") {
    const std::string why = WhyNotFinished(transaction(), rig_->now());
    Print(why.empty() ? "finished" : why);
  } else if (word == "wakeup") {
    const MonoTime wakeup = transaction().Wakeup();
    Print(wakeup == kNever ? "never" : "in " + ShowDuration(wakeup - rig_->now().mono));
  } else if (word == "rests") {
    Print(transaction().Rests() ? "yes" : "no");
  } else if (word == "results") {
    for (std::size_t i = 0; i < transaction().branches().size(); ++i) {
      const std::string& result = transaction().branches()[i].result;
      Print(transaction().spec().branches[i].id + " " + Quoted(result));
    }
  } else if (word == "order") {
    for (const BranchSpec& branch : transaction().spec().branches) {
      std::string text = branch.id + " after";
      for (const BranchIndex a : branch.after) text += " " + transaction().spec().branches[a].id;
      Print(branch.after.empty() ? branch.id + " first" : text);
    }
  } else if (word == "attempts") {
    const Branch& branch = transaction().branches()[FindBranch(line.words.at(1))];
    for (const Attempt& a : branch.history.kept()) {
      std::string text = std::string(Name(a.operation)) + " #" + std::to_string(a.number) + " " +
                         std::string(Name(a.result));
      if (a.result != AttemptResult::kInFlight) text += " " + ShowDuration(a.latency);
      Print(a.error.empty() ? text : text + " " + Quoted(a.error));
    }
    if (branch.history.dropped() > 0) Print("dropped " + std::to_string(branch.history.dropped()));
  } else if (word == "interventions") {
    for (const Intervention& did : transaction().interventions()) {
      Print(did.verb + (did.branch_id.empty() ? "" : " of " + did.branch_id) + " by " +
            Quoted(did.who) + ": " + Quoted(did.reason));
    }
  } else {
    return false;
  }
  return true;
}

// What people and the shell do. False: it is nothing of the kind.
bool Script::Operate(const Line& line) {
  const std::string& word = line.words[0];
  const Actor actor{line.Value("by"), line.text};
  if (word == "seal") {
    Apply(Seal{});
  } else if (word == "tick") {
    Apply(Tick{});
  } else if (word == "rollback") {
    Apply(Abort{actor, /*by_operator=*/false});
  } else if (word == "abort") {
    Apply(Abort{actor, /*by_operator=*/true});
  } else if (word == "suspend") {
    Apply(Suspend{actor});
  } else if (word == "resume") {
    Apply(Resume{actor});
  } else if (word == "retry") {
    Apply(RetryNow{actor});
  } else if (word == "check-back") {
    Apply(CheckBack{});
  } else if (word == "give-way") {
    WallTime began = transaction().began_at();
    if (const std::string v = line.Value("older"); !v.empty()) began -= ParseMillis(v);
    if (const std::string v = line.Value("younger"); !v.empty()) began += ParseMillis(v);
    Apply(GiveWay{line.words.at(1), began, line.Value("at")});
  } else if (word == "appeared") {
    Apply(ServiceAppeared{line.words.at(1)});
  } else if (word == "resolve") {
    const std::string& verdict = line.words.at(2);
    if (verdict != "commit" && verdict != "abort") throw std::runtime_error("resolve it how?");
    Apply(Resolve{actor, FindBranch(line.words.at(1)),
                  verdict == "commit" ? Decision::kCommit : Decision::kAbort});
  } else {
    return false;
  }
  return true;
}

// "a done", "a refused "out of stock"", "a TRY#1 unknown "reset"", "a retry "busy" in=5s"
void Script::Answer(const Line& line) {
  Answered answer;
  answer.branch = FindBranch(line.words.at(0));
  answer.operation = transaction().Due(answer.branch);
  answer.attempt = transaction().branches()[answer.branch].attempts;
  std::size_t at = 1;
  const std::string& second = line.words.at(1);
  if (second[0] >= 'A' && second[0] <= 'Z') {
    const std::size_t hash = second.find('#');
    answer.operation = ParseOperation(second.substr(0, hash));
    if (hash != std::string::npos)
      answer.attempt = static_cast<std::uint32_t>(std::stoul(second.substr(hash + 1)));
    ++at;
  }
  answer.result = ParseResult(line.words.at(at));
  answer.service_absent = line.words.at(at) == "absent";
  if (const std::string v = line.Value("in"); !v.empty()) answer.retry_after = ParseMillis(v);
  answer.waits_for_rows = line.Has("rows");
  const bool has_bytes =
      answer.result == AttemptResult::kDone || answer.result == AttemptResult::kDoneReadOnly;
  std::string& text = has_bytes ? answer.bytes : answer.reason;
  text = line.text;
  if (const std::string v = line.Value("long"); !v.empty()) text.assign(std::stoul(v), 'x');
  Apply(answer);
}

void Script::Apply(const Event& event) {
  (void)transaction();
  Show(rig_->Apply(event));
}

void Script::Show(const Step& step) {
  if (!step.status.ok()) Print(step.status.ToString());
  if (step.record != Record::kNone) {
    const bool unusual = step.gating != (step.record > Record::kLazy && step.record < Record::kEnd);
    Print("record " + std::string(NameOf(step.record)) +
          (!unusual      ? ""
           : step.gating ? ", gating"
                         : ", not gating"));
  }
  const auto& branches = transaction().spec().branches;
  for (const Effect& effect : step.effects) {
    if (const auto* send = std::get_if<Send>(&effect)) {
      Print("send " + branches[send->branch].id + " " + std::string(Name(send->operation)) + " #" +
            std::to_string(send->attempt) + (send->one_phase ? " one-phase" : ""));
      continue;
    }
    const auto& announce = std::get<Announce>(effect);
    switch (announce.milestone) {
      case Milestone::kAccepted: Print("announce accepted"); break;
      case Milestone::kBranchAnswered:
        Print("announce " + branches[announce.branch].id + " answered");
        break;
      case Milestone::kDecided: Print("announce decided"); break;
      case Milestone::kCompleted: Print("announce completed"); break;
      case Milestone::kIntervened: Print("announce intervened"); break;
    }
  }
  ShowState();
}

void Script::ShowState() {
  const Transaction& t = transaction();
  std::string state = "state " + std::string(Name(t.phase()));
  if (t.finished()) state += " " + std::string(Name(t.outcome()));
  if (!t.sealed() && t.phase() == Phase::kActive) state += " open";
  if (t.suspended()) state += t.held() ? " held" : " suspended";
  if (t.outcome() == Outcome::kHazard || t.outcome() == Outcome::kMixed) {
    if (!t.finished()) state += " " + std::string(Name(t.outcome()));
  }
  for (std::size_t i = 0; i < t.branches().size(); ++i) {
    const Branch& branch = t.branches()[i];
    state += " " + t.spec().branches[i].id + "=" + std::string(Name(branch.state));
    if (branch.hazard) state += "(hazard)";
    if (branch.needs_operator) state += "(stuck)";
    if (branch.resolved != Decision::kNone)
      state += "(resolved " + std::string(Name(branch.resolved)) + ")";
  }
  if (state != shown_state_) Print(state);
  shown_state_ = state;
  if (t.abort_reason() != shown_reason_) Print("reason " + Quoted(t.abort_reason()));
  shown_reason_ = t.abort_reason();
}

}  // namespace assent::core::testing

// retry, abort, suspend, resume, forget with --all: a filter, a count, a sample, a question, and
// then exactly those that were counted, many at a time.

#include <algorithm>
#include <cctype>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/list_view.h"
#include "tools/assentctl/perform.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kPageRows = 1000;
constexpr int kSampleRows = 5;
constexpr std::size_t kMostToldFailures = 20;
constexpr milliseconds kProgressPause{1'000};

// What has been counted.
struct Counted {
  std::vector<std::string> gids;
  std::map<std::string, std::uint64_t> states;
  std::uint64_t suspended = 0;  // passed over: retry
  std::uint64_t held = 0;       // among gids
  v1::ListReply sample;         // the first ones, and what several coordinators have to say
  std::int64_t oldest_unix_ms = 0;
};

// What becomes of them.
struct Tally {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t had_ended = 0;                    // by themselves, since they were counted
  std::map<std::string, std::uint64_t> failures;  // by what was said, without the gid
  Json told = Json::array();
  Status ended;  // not OK: the coordinator is away, and the rest was not tried

  std::uint64_t tried() const { return done + failed + had_ended; }
};

// Those of which it would only be said that they are in the wrong state are none of its.
v1::ListRequest Wanted(const OperateCommand& command) {
  v1::ListRequest request = command.which;
  request.set_page_size(kPageRows);
  if (request.states_size() == 0 && command.verb == Verb::kAbort) request.add_states(v1::ACTIVE);
  if (request.states_size() == 0 && command.verb == Verb::kForget) request.add_states(v1::FINISHED);
  return request;
}

// A list with an outcome has finished ones too.
bool IsPassedOver(const OperateCommand& command, const v1::Transaction& transaction) {
  const Verb verb = command.verb;
  const bool over = transaction.state() == v1::FINISHED && command.which.states_size() == 0;
  return (verb != Verb::kForget && over) || (verb == Verb::kRetry && transaction.suspended()) ||
         (verb == Verb::kResume && !transaction.suspended()) ||
         (verb == Verb::kSuspend && transaction.suspended());
}

Result<Counted> Find(const OperateCommand& command, Session& session) {
  Counted counted;
  v1::ListRequest request = Wanted(command);
  while (true) {
    Result<v1::ListReply> page = session.service.List(request, session.options.call_timeout);
    if (!page.ok()) return page.status();
    for (v1::Transaction& transaction : *page->mutable_transactions()) {
      if (IsPassedOver(command, transaction)) {
        if (command.verb == Verb::kRetry && transaction.suspended()) ++counted.suspended;
        continue;
      }
      counted.gids.push_back(transaction.gid());
      counted.held += transaction.held() ? 1 : 0;
      ++counted.states[Word(transaction.state())];
      const std::int64_t began = transaction.began_unix_ms();
      if (counted.gids.size() == 1 || began < counted.oldest_unix_ms)
        counted.oldest_unix_ms = began;
      if (counted.sample.transactions_size() < kSampleRows)
        counted.sample.add_transactions()->Swap(&transaction);
    }
    counted.sample.mutable_silent()->MergeFrom(page->silent());
    counted.sample.set_slots_left_out(
        std::max(counted.sample.slots_left_out(), page->slots_left_out()));
    const std::string next = page->next_page_token();
    if (next.empty()) return counted;
    if (next == request.page_token())
      return Internal("the coordinator answered with the same page token twice");
    request.set_page_token(next);
  }
}

// "1,001 transactions: 900 ACTIVE, 101 COMMITTING; the oldest began 5 min ago".
std::string CountText(const Counted& counted, const Style& style) {
  std::string states;
  for (const auto& [state, count] : counted.states)
    states += (states.empty() ? "" : ", ") + Grouped(count) + " " + state;
  return Grouped(counted.gids.size()) +
         (counted.gids.size() == 1 ? " transaction: " : " transactions: ") + states +
         "; the oldest began " + Moment(counted.oldest_unix_ms, style) + "\n";
}

void SayWhatWasCounted(const Counted& counted, Session& session) {
  Style style = session.MakeStyle();
  style.output = Output::kTable;
  session.console.Err(CountText(counted, style) + RenderList(counted.sample, style));
  const std::size_t shown = static_cast<std::size_t>(counted.sample.transactions_size());
  if (counted.gids.size() > shown)
    session.console.Err("... and " + Grouped(counted.gids.size() - shown) + " more\n");
}

void SayWhatIsLeftOut(const Counted& counted, Session& session) {
  Console& console = session.console;
  if (counted.suspended > 0) {
    console.Err(Grouped(counted.suspended) +
                " more are suspended, and left out: resume has them go on\n");
  }
  console.Err(SilentText(counted.sample.silent(), "its unfinished transactions are left out"));
  if (counted.sample.slots_left_out() > 0) {
    console.Err(Count(counted.sample.slots_left_out(), "slot") +
                " had no owner at that moment: what is unfinished there is left out\n");
  }
}

// What is held is suspended as well, but not by a person: the verb means something else for it.
void SayWhatIsHeld(const OperateCommand& command, const Counted& counted, Session& session) {
  if (counted.held == 0) return;
  std::string text = Grouped(counted.held) + " of them " + (counted.held == 1 ? "is" : "are") +
                     " held: the log may lack what became of " +
                     (counted.held == 1 ? "it" : "them") + "; ";
  switch (command.verb) {
    case Verb::kAbort:
      text +=
          "abort undoes every branch, also of one that had been committed: look at the "
          "participants first (assentctl show GID)";
      break;
    case Verb::kResume:
      text +=
          "resume goes on as if nothing had been decided, with a new deadline, and is refused "
          "where a branch is two-phase: look at the participants first (assentctl show GID)";
      break;
    case Verb::kRetry:
    case Verb::kSuspend:
    case Verb::kForget: text += "a person has to say how they go on (assentctl show GID)"; break;
  }
  session.console.Err(text + "\n");
}

// What was said of one, so that those of whom the same is said are one line.
std::string WithoutGid(std::string said, const std::string& gid) {
  const auto is_word = [&](std::size_t at) {
    return at < said.size() && std::isalnum(static_cast<unsigned char>(said[at])) != 0;
  };
  for (std::size_t at = said.find(gid); at != std::string::npos; at = said.find(gid, at + 1)) {
    if ((at == 0 || !is_word(at - 1)) && !is_word(at + gid.size()))
      said.replace(at, gid.size(), "#");
  }
  return said;
}

void Note(const std::string& gid, const Status& status, Tally& tally, Session& session) {
  if (status.ok()) {
    ++tally.done;
    if (session.options.output == Output::kId) session.console.Out(Visible(gid) + "\n");
    return;
  }
  ++tally.failed;
  ++tally.failures[WithoutGid(status.message(), gid)];
  if (tally.failed > kMostToldFailures) return;
  session.console.Err(ErrorText(Status(status.code(), gid + ": " + status.message())));
  tally.told.push_back(
      {{"gid", gid}, {"code", std::string(CodeName(status.code()))}, {"error", status.message()}});
}

Tally Act(const OperateCommand& command, const Counted& counted, Session& session) {
  Tally tally;
  milliseconds told = session.console.Uptime();
  session.service.OperateMany(
      counted.gids.size(),
      [&](std::size_t i) {
        v1::OperatorAction action = MakeAction(counted.gids[i], command.intent, false, session);
        action.set_if_unfinished(true);
        return MakeRequest(command.verb, action);
      },
      session.options.call_timeout,
      [&](std::size_t i, const Result<v1::OperatorReply>& reply) {
        if (reply.status().code() == Code::kUnavailable) {
          tally.ended = reply.status();
          return false;
        }
        if (reply.ok() && reply->had_ended()) {
          ++tally.had_ended;
        } else {
          Note(counted.gids[i], reply.status(), tally, session);
        }
        if (session.console.Uptime() - told < kProgressPause) return true;
        told = session.console.Uptime();
        session.console.Err(Grouped(tally.tried()) + " of " + Grouped(counted.gids.size()) + ", " +
                            Grouped(tally.failed) + " failed\n");
        return true;
      });
  return tally;
}

void Report(const OperateCommand& command, const Counted& counted, const Tally& tally,
            Session& session) {
  const std::size_t not_tried = counted.gids.size() - tally.tried();
  const bool dry_run = command.intent.dry_run;
  const std::string verb = Name(command.verb);
  Json gids = Json::array();
  for (const auto& transaction : counted.sample.transactions()) gids.push_back(transaction.gid());
  const Json json = {{"verb", verb},
                     {"dry_run", dry_run},
                     {"matched", counted.gids.size()},
                     {"held", counted.held},
                     {"done", tally.done},
                     {"failed", tally.failed},
                     {"had_ended", tally.had_ended},
                     {"not_tried", not_tried},
                     {"sample", std::move(gids)},
                     {"failures", tally.told}};
  Console& console = session.console;
  switch (session.options.output) {
    case Output::kJson: return console.Out(PrettyJson(json));
    case Output::kJsonl: return console.Out(LineJson(json));
    case Output::kYaml: return console.Out(Yaml(json));
    case Output::kId: return;
    case Output::kTable:
    case Output::kWide: break;
  }
  if (dry_run)
    return console.Out(verb + ": (dry run) " + Grouped(counted.gids.size()) + " match\n");
  std::string text =
      verb + ": " + Grouped(tally.done) + " done, " + Grouped(tally.failed) + " failed";
  if (tally.had_ended > 0) text += ", " + Grouped(tally.had_ended) + " had ended by themselves";
  if (not_tried > 0) text += ", " + Grouped(not_tried) + " not tried";
  console.Out(text + "\n");
  for (const auto& [said, count] : tally.failures)
    console.Out("  " + Grouped(count) + " failed: " + Visible(said) + "\n");
}

}  // namespace

Exit RunBatch(const OperateCommand& command, Session& session) {
  const std::string verb = Name(command.verb);
  const Result<Counted> counted = Find(command, session);
  if (!counted.ok()) return session.Fail(counted.status());
  SayWhatIsLeftOut(*counted, session);
  if (counted->gids.empty()) {
    session.console.Err("no transaction matches: nothing to " + verb + "\n");
    Report(command, *counted, {}, session);
    return Exit::kDone;
  }
  if (command.intent.dry_run) {
    SayWhatWasCounted(*counted, session);
    SayWhatIsHeld(command, *counted, session);
    if (session.options.output == Output::kId) {
      for (const std::string& gid : counted->gids) session.console.Out(Visible(gid) + "\n");
    }
    Report(command, *counted, {}, session);
    return Exit::kDone;
  }
  if (!command.intent.yes && !session.surroundings.in_is_terminal) {
    session.console.Err("assentctl: " + verb + " --all would act on " +
                        Grouped(counted->gids.size()) +
                        " of them and there is no terminal to ask at; add --yes, or look first "
                        "with --dry-run\n");
    return Exit::kUsage;
  }
  if (!command.intent.yes) {
    const auto warning = [&] {
      SayWhatWasCounted(*counted, session);
      SayWhatIsHeld(command, *counted, session);
      return OkStatus();
    };
    const Exit answer = AskConsent(verb, warning, /*can_ask=*/true, session);
    if (answer != Exit::kDone) return answer;
  }
  if (command.intent.yes) SayWhatIsHeld(command, *counted, session);
  const Tally tally = Act(command, *counted, session);
  if (!tally.ended.ok()) {
    const Exit away = session.Fail(tally.ended);
    if (tally.tried() == 0) return away;
  }
  Report(command, *counted, tally, session);
  return tally.done + tally.had_ended == counted->gids.size() ? Exit::kDone : Exit::kSomeFailed;
}

}  // namespace assent::ctl

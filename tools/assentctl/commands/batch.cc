#include "tools/assentctl/batch.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tools/assentctl/cluster_view.h"
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
  std::vector<Target> targets;
  std::uint64_t transactions = 0;
  std::map<std::string, std::uint64_t> states;
  std::uint64_t held = 0;
  v1::ListReply sample;  // the first ones, and what several coordinators have to say
  std::int64_t oldest_unix_ms = 0;
};

// What becomes of them.
struct Tally {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t had_ended = 0;                    // by themselves, since they were counted
  std::uint64_t undoing = 0;                      // done, and aborting now
  std::map<std::string, std::uint64_t> failures;  // by what was said, without the gid
  Json told = Json::array();
  Status ended;  // not OK: the coordinator is away, and the rest was not tried

  std::uint64_t tried() const { return done + failed + had_ended; }
};

void Add(v1::Transaction& transaction, std::vector<Target> targets, Counted& counted) {
  if (targets.empty()) return;
  std::move(targets.begin(), targets.end(), std::back_inserter(counted.targets));
  ++counted.transactions;
  counted.held += transaction.held() ? 1 : 0;
  ++counted.states[Word(transaction.state())];
  const std::int64_t began = transaction.began_unix_ms();
  if (counted.transactions == 1 || began < counted.oldest_unix_ms) counted.oldest_unix_ms = began;
  if (counted.sample.transactions_size() < kSampleRows)
    counted.sample.add_transactions()->Swap(&transaction);
}

Result<Counted> Find(const Batch& batch, Session& session) {
  Counted counted;
  v1::ListRequest request = batch.which;
  request.set_page_size(kPageRows);
  while (true) {
    Result<v1::ListReply> page = session.service.List(request, session.options.call_timeout);
    if (!page.ok()) return page.status();
    for (v1::Transaction& transaction : *page->mutable_transactions())
      Add(transaction, batch.choose(transaction), counted);
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
  return Grouped(counted.transactions) +
         (counted.transactions == 1 ? " transaction: " : " transactions: ") + states +
         "; the oldest began " + Moment(counted.oldest_unix_ms, style) + "\n";
}

void SayWhatWasCounted(const Counted& counted, Session& session) {
  Style style = session.MakeStyle();
  style.output = Output::kTable;
  session.console.Err(CountText(counted, style) + RenderList(counted.sample, style));
  const auto shown = static_cast<std::uint64_t>(counted.sample.transactions_size());
  if (counted.transactions > shown)
    session.console.Err("... and " + Grouped(counted.transactions - shown) + " more\n");
}

void SayWhatIsLeftOut(const Batch& batch, const Counted& counted, Session& session) {
  Console& console = session.console;
  console.Err(batch.left_out());
  console.Err(SilentText(counted.sample.silent(), "its unfinished transactions are left out"));
  if (counted.sample.slots_left_out() > 0) {
    console.Err(Count(counted.sample.slots_left_out(), "slot") +
                " had no owner at that moment: what is unfinished there is left out\n");
  }
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

void NoteDone(const std::string& gid, const v1::OperatorReply& reply, Tally& tally,
              Session& session) {
  if (reply.had_ended()) {
    ++tally.had_ended;
    return;
  }
  tally.undoing += reply.transaction().state() == v1::ABORTING ? 1 : 0;
  Note(gid, OkStatus(), tally, session);
}

Tally Act(const Batch& batch, const Intent& intent, const Counted& counted, Session& session) {
  Tally tally;
  milliseconds told = session.console.Uptime();
  session.service.OperateMany(
      counted.targets.size(),
      [&](std::size_t i) {
        const Target& target = counted.targets[i];
        v1::OperatorAction action = MakeAction(target.gid, intent, false, session);
        action.set_if_unfinished(true);
        return batch.request(target, action);
      },
      session.options.call_timeout,
      [&](std::size_t i, const Result<v1::OperatorReply>& reply) {
        if (reply.status().code() == Code::kUnavailable) {
          tally.ended = reply.status();
          return false;
        }
        const std::string& gid = counted.targets[i].gid;
        reply.ok() ? NoteDone(gid, *reply, tally, session)
                   : Note(gid, reply.status(), tally, session);
        if (session.console.Uptime() - told < kProgressPause) return true;
        told = session.console.Uptime();
        session.console.Err(Grouped(tally.tried()) + " of " + Grouped(counted.targets.size()) +
                            ", " + Grouped(tally.failed) + " failed\n");
        return true;
      });
  return tally;
}

void Report(const Batch& batch, const Counted& counted, const Tally& tally, Session& session) {
  const std::size_t not_tried = counted.targets.size() - tally.tried();
  const bool dry_run = batch.intent.dry_run;
  Json gids = Json::array();
  for (const auto& transaction : counted.sample.transactions()) gids.push_back(transaction.gid());
  const Json json = {
      {"verb", batch.verb},           {"dry_run", dry_run},     {"matched", counted.targets.size()},
      {"held", counted.held},         {"done", tally.done},     {"failed", tally.failed},
      {"had_ended", tally.had_ended}, {"not_tried", not_tried}, {"sample", std::move(gids)},
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
    return console.Out(batch.verb + ": (dry run) " + Grouped(counted.targets.size()) + " match\n");
  std::string text =
      batch.verb + ": " + Grouped(tally.done) + " done, " + Grouped(tally.failed) + " failed";
  if (tally.had_ended > 0) text += ", " + Grouped(tally.had_ended) + " had ended by themselves";
  if (not_tried > 0) text += ", " + Grouped(not_tried) + " not tried";
  console.Out(text + "\n");
  for (const auto& [said, count] : tally.failures)
    console.Out("  " + Grouped(count) + " failed: " + Visible(said) + "\n");
}

// Done is not ended: somebody has to undo what his branch did.
void SayWhatGoesOn(const Tally& tally, Session& session) {
  if (tally.undoing == 0) return;
  session.console.Err(Grouped(tally.undoing) + (tally.undoing == 1 ? " is" : " are") +
                      " not undone yet: assentctl list --state aborting --group-by why\n");
}

Exit LookOnly(const Batch& batch, const Counted& counted, Session& session) {
  SayWhatWasCounted(counted, session);
  session.console.Err(batch.meaning());
  if (session.options.output == Output::kId) {
    for (const Target& target : counted.targets) session.console.Out(Visible(target.gid) + "\n");
  }
  Report(batch, counted, {}, session);
  return Exit::kDone;
}

// Of whoever is at a terminal, or has agreed already.
Exit Agree(const Batch& batch, const Counted& counted, Intent& intent, Session& session) {
  if (!intent.yes && !session.surroundings.in_is_terminal) {
    session.console.Err("assentctl: " + batch.verb + " --all would act on " +
                        Grouped(counted.targets.size()) +
                        " of them and there is no terminal to ask at; add --yes, or look first "
                        "with --dry-run\n");
    return Exit::kUsage;
  }
  if (!batch.wanted_reason.empty()) {
    const Status asked = AskReason(batch.verb, batch.wanted_reason, intent, session);
    if (!asked.ok()) return session.Fail(asked);
  }
  if (intent.yes) {
    session.console.Err(batch.meaning());
    return Exit::kDone;
  }
  const auto warning = [&] {
    SayWhatWasCounted(counted, session);
    session.console.Err(batch.meaning());
    return OkStatus();
  };
  return AskConsent(batch.verb, warning, /*can_ask=*/true, session);
}

}  // namespace

Exit RunBatch(const Batch& batch, Session& session) {
  const Result<Counted> counted = Find(batch, session);
  if (!counted.ok()) return session.Fail(counted.status());
  SayWhatIsLeftOut(batch, *counted, session);
  if (counted->targets.empty()) {
    session.console.Err("no transaction matches: nothing to " + batch.verb + "\n");
    Report(batch, *counted, {}, session);
    return Exit::kDone;
  }
  if (batch.intent.dry_run) return LookOnly(batch, *counted, session);
  Intent intent = batch.intent;
  const Exit agreed = Agree(batch, *counted, intent, session);
  if (agreed != Exit::kDone) return agreed;
  const Tally tally = Act(batch, intent, *counted, session);
  if (!tally.ended.ok()) {
    const Exit away = session.Fail(tally.ended);
    if (tally.tried() == 0) return away;
  }
  Report(batch, *counted, tally, session);
  SayWhatGoesOn(tally, session);
  return tally.done + tally.had_ended == counted->targets.size() ? Exit::kDone : Exit::kSomeFailed;
}

}  // namespace assent::ctl

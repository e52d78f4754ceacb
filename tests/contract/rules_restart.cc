// kill -9, lost answers, prepared work.
#include <algorithm>
#include <thread>

#include "tests/contract/limits.h"
#include "tests/contract/rules.h"
#include "tests/contract/session_server.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

// Asks all at once, and kills it the moment the last answer is there.
std::vector<Answer> AskAllAndKill(Examination& e, const std::vector<Work>& works,
                                  v1::Operation (*operation)(v1::Protocol)) {
  std::vector<std::future<Answer>> sent;
  for (const Work& work : works) sent.push_back(e.Send(work, operation(work.protocol)));
  std::vector<Answer> answers;
  for (std::future<Answer>& answer : sent) answers.push_back(e.Take(answer));
  e.Kill();
  e.Restart();
  for (std::size_t i = 0; i < works.size(); ++i) {
    e.findings().About(ProtocolName(works[i].protocol));
    const Answer& first = answers[i];
    const v1::Operation asked = operation(works[i].protocol);
    if (e.Expect(IsDone(first), Shown(works[i], asked) + " is DONE", Shown(first)))
      e.SameAgain(works[i], asked, first);
  }
  return answers;
}

std::vector<Work> OneOfEach(Examination& e, const AddOptions& options = {}) {
  std::vector<Work> works;
  for (const v1::Protocol protocol : e.protocols) works.push_back(e.NewAdd(protocol, 5, options));
  return works;
}

void AllAre(Examination& e, const std::vector<Work>& works, Ledger expected,
            const std::string& when) {
  for (const Work& work : works) {
    e.findings().About(ProtocolName(work.protocol));
    e.LedgerIs(work.account, expected, when);
  }
}

void FinishAll(Examination& e, const std::vector<Work>& works) {
  for (const Work& work : works) {
    e.findings().About(ProtocolName(work.protocol));
    if (Finish(work.protocol) != v1::OPERATION_UNSPECIFIED) e.Done(work, Finish(work.protocol));
  }
}

}  // namespace

void Durable(Examination& e) {
  std::vector<Work> works = OneOfEach(e);
  AskAllAndKill(e, works, Forward);
  const std::vector<Work> undone = OneOfEach(e);
  for (const Work& work : undone) e.Done(work, Forward(work.protocol));
  std::vector<Work> all = works;
  std::erase_if(all, [](const Work& work) { return Finish(work.protocol) == 0; });
  if (!all.empty()) AskAllAndKill(e, all, Finish);
  AllAre(e, works, {5, 0}, "after kill -9 behind each DONE");
  AskAllAndKill(e, undone, Undo);
  AllAre(e, undone, {0, 0}, "after kill -9 behind the DONE of its undo");
}

void Remembers(Examination& e) {
  const std::vector<Work> refused = OneOfEach(e, {.refuse = "no"});
  const std::vector<Work> empty = OneOfEach(e);
  std::vector<Answer> answers;
  for (const Work& work : refused)
    answers.push_back(e.Refused(work, Forward(work.protocol), "the payload says so"));
  for (const Work& work : empty) e.Done(work, Undo(work.protocol));
  if (!e.KillAndRestart()) return;
  for (std::size_t i = 0; i < refused.size(); ++i) {
    e.findings().About(ProtocolName(refused[i].protocol));
    e.SameAgain(refused[i], Forward(refused[i].protocol), answers[i]);
    e.Refused(empty[i], Forward(empty[i].protocol), "it was undone before the restart");
    e.Done(empty[i], Undo(empty[i].protocol));
  }
  AllAre(e, refused, {0, 0}, "of what was refused before the restart");
  AllAre(e, empty, {0, 0}, "of what was undone before it came");
}

void CrashBeforeCommit(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5, {.crash_at_start = e.subject().starts()});
    const Answer answer = e.AskOnce(work, Forward(protocol));
    e.Expect(!answer.reply, "no answer: crash_at_start ends the process", Shown(answer));
    e.Expect(e.subject().WaitForExit(e.patience()).has_value(), "the process has ended", "it runs");
    if (!e.KillAndRestart()) return;
    e.LedgerIs(work.account, {0, 0}, "after a crash before the local commit");
    e.Done(work, Forward(protocol));  // another start: it does not crash again
    FinishAll(e, {work});
    e.LedgerIs(work.account, {5, 0}, "of what was asked again after the crash");
  }
}

void PreparedSurvives(Examination& e) {
  const Work commit = e.NewAdd(v1::TWO_PHASE, 5);
  const Work rollback = e.NewAdd(v1::TWO_PHASE, 5);
  const Answer prepared = e.Done(commit, v1::PREPARE);
  e.Done(rollback, v1::PREPARE);
  if (!e.KillAndRestart()) return;
  AllAre(e, {commit, rollback}, {0, 0}, "of prepared work after a restart");
  e.Done(commit, v1::COMMIT);
  e.SameAgain(commit, v1::PREPARE, prepared);
  e.Done(rollback, v1::ROLLBACK);
  e.LedgerIs(commit.account, {5, 0}, "after COMMIT of what was prepared before the restart");
  e.LedgerIs(rollback.account, {0, 0}, "after ROLLBACK of what was prepared before the restart");
  e.Refused(rollback, v1::COMMIT, "it was rolled back");
}

void OutcomeQuestion(Examination& e) {
  using V = v1::OutcomeAnswer;
  SessionServer& server = *e.peer().sessions();
  struct Case {
    Work work;
    V::Verdict verdict;
  };
  std::vector<Case> cases;
  for (const V::Verdict verdict : {V::COMMIT, V::ABORT, V::UNDECIDED, V::CANNOT_TELL}) {
    cases.push_back({e.NewAdd(v1::TWO_PHASE, 5), verdict});
    e.Done(cases.back().work, v1::PREPARE);
  }
  e.Kill();
  for (const Case& c : cases)
    server.Decide(c.work.gid, c.verdict, c.verdict == V::COMMIT || c.verdict == V::ABORT);
  if (!e.Restart()) return;
  for (const Case& c : cases) {
    e.findings().About(V::Verdict_Name(c.verdict));
    test::WaitUntil([&] { return !server.QueriesAbout(c.work.gid).empty(); }, e.patience());
    const std::vector<v1::OutcomeQuery> queries = server.QueriesAbout(c.work.gid);
    if (!e.Expect(!queries.empty(), "an OutcomeQuery about work prepared before the restart",
                  "none"))
      return;
    const v1::BranchCommand told = Command(c.work, v1::PREPARE);
    const v1::OutcomeQuery& query = queries.front();
    e.Expect(query.branch_id() == told.branch_id() &&
                 query.coordinator_id() == told.coordinator_id() &&
                 query.began_epoch() == told.began_epoch(),
             "branch, coordinator_id and began_epoch of the PREPARE: " + told.branch_id() + ", " +
                 std::to_string(told.coordinator_id()) + ", " + std::to_string(told.began_epoch()),
             query.branch_id() + ", " + std::to_string(query.coordinator_id()) + ", " +
                 std::to_string(query.began_epoch()));
  }
  e.findings().About("COMMIT");
  const Work& committed = cases[0].work;
  std::optional<Ledger> ledger;
  test::WaitUntil(
      [&] {
        return (ledger = e.Read(committed.account)) == Ledger{5, 0};
      },
      e.patience());
  e.Expect(ledger == Ledger{5, 0}, "balance 5 without a COMMIT: the answer was enough",
           Shown(ledger));
  e.findings().About("ABORT");
  const Work& aborted = cases[1].work;
  e.LedgerIs(aborted.account, {0, 0}, "after the answer ABORT");
  const Work next = Add(v1::TWO_PHASE, e.Name(), aborted.account, 3);
  e.Done(next, v1::PREPARE);  // nothing is held any more
  e.Done(next, v1::COMMIT);
  e.LedgerIs(aborted.account, {3, 0}, "after another one used the account");
  for (std::size_t i = 2; i < cases.size(); ++i) {
    e.findings().About(V::Verdict_Name(cases[i].verdict));
    e.LedgerIs(cases[i].work.account, {0, 0}, "of what is still held");
    e.Done(cases[i].work, v1::COMMIT);
    e.LedgerIs(cases[i].work.account, {5, 0}, "after the COMMIT that came at last");
  }
}

void LostAnswer(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5, {.wait_ms = 40});
    const auto lose = [&](v1::Operation operation) {
      std::future<Answer> lost = e.Send(work, operation);
      e.Take(lost, std::chrono::milliseconds(20));  // it is under way, or answered
      e.peer().LoseAnswers();
      if (!e.Reachable()) return;
      const Answer answer = e.Done(work, operation);
      e.SameAgain(work, operation, answer);
    };
    lose(Forward(protocol));
    if (Finish(protocol) != v1::OPERATION_UNSPECIFIED) lose(Finish(protocol));
    e.LedgerIs(work.account, {5, 0}, "after answers that were lost, and asked for again");
  }
}

}  // namespace assent::contract

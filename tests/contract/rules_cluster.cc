// Two coordinators of one log: a participant dials both, and knows the one that has a slot from the
// one that had it.
#include "tests/contract/limits.h"
#include "tests/contract/rules.h"
#include "tests/contract/session_server.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

constexpr std::uint32_t kSlot = 5;
// Higher than any that `stale-slot` has left, and rising: the process remembers.
constexpr std::uint64_t kFirstEpoch = 1'000'000;

class Cluster {
 public:
  explicit Cluster(Examination& e)
      : e_(e),
        first_(*e.peer().sessions()),
        second_(first_.address().substr(0, first_.address().rfind(':')) + ":0", first_.map()) {}
  ~Cluster() {
    first_.map()->Show({});
    second_.Stop();
    for (const Fault& fault : second_.TakeFaults()) first_.AddFault(fault.expected, fault.seen);
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  SessionServer& first() { return first_; }
  SessionServer& second() { return second_; }

  // The one that it has dialled is a member from now on, and another one comes.
  bool Begin() {
    const Status started = second_.Start();
    if (!e_.Expect(started.ok(), "a second port", started.ToString())) return false;
    first_.map()->Show({first_.member()});
    if (const auto session = first_.Current())
      session->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping: dial again"));
    if (!Dialled(first_, "the coordinator that it knows")) return false;
    ShowBoth();
    return Dialled(second_, "a coordinator that has come, which ClusterService.Watch names");
  }
  void ShowBoth() { first_.map()->Show({first_.member(), second_.member()}); }
  bool Dialled(const SessionServer& server, const std::string& who) {
    return e_.Expect(server.WaitCurrent(e_.patience()) != nullptr,
                     who + " is dialled within " + std::to_string(e_.patience().count()) + " ms",
                     "it is not");
  }
  // By the coordinator that has the slot as of `epoch`.
  std::future<Answer> Send(SessionServer& from, const Work& work, std::uint64_t epoch) {
    v1::BranchCommand command = Command(work, Forward(work.protocol));
    command.set_slot(kSlot);
    command.set_slot_epoch(epoch);
    // It may take leave of one to tell it anew how much it takes, of which each has a share.
    if (const auto session = from.WaitCurrent(e_.patience()))
      return std::move(session->Send({std::move(command)}).front());
    std::promise<Answer> nobody;
    nobody.set_value({std::nullopt, "no session"});
    return nobody.get_future();
  }

 private:
  Examination& e_;
  SessionServer& first_;
  SessionServer second_;
};

}  // namespace

void SeveralCoordinators(Examination& e) {
  Cluster cluster(e);
  if (!cluster.Begin()) return;
  const v1::Protocol protocol = e.protocols.front();
  std::uint64_t epoch = kFirstEpoch;

  e.findings().About("of both coordinators");
  for (SessionServer* const from : {&cluster.first(), &cluster.second()}) {
    const Work work = e.NewAdd(protocol, 5);
    std::future<Answer> sent = cluster.Send(*from, work, epoch);
    const Answer answer = e.Take(sent);
    e.Expect(IsDone(answer), Shown(work, Forward(protocol)) + " is DONE", Shown(answer));
  }

  e.findings().About("after a take-over");
  const Work done = e.NewAdd(protocol, 5);
  std::future<Answer> sent = cluster.Send(cluster.first(), done, epoch);
  const Answer first = e.Take(sent);
  // This one still runs when its coordinator dies.
  const Work running = e.NewAdd(protocol, 5, {.wait_ms = 300});
  std::future<Answer> unheard = cluster.Send(cluster.first(), running, epoch);
  e.Take(unheard, std::chrono::milliseconds(100));  // it has it, as far as can be seen from here
  cluster.first().Stop();
  ++epoch;
  std::future<Answer> again = cluster.Send(cluster.second(), done, epoch);
  std::future<Answer> beside = cluster.Send(cluster.second(), running, epoch);
  const Answer second = e.Take(again);
  e.Expect(first.reply && second.reply && SameReply(*first.reply, *second.reply),
           "who asks again gets the first one's answer, " + Shown(first), Shown(second));
  const Answer joined = e.Take(beside);
  e.Expect(IsDone(joined), "what still ran is answered to the one that asks again", Shown(joined));

  e.findings().About("of a former owner that goes on");
  const Status started = cluster.first().Start();
  if (!e.Expect(started.ok(), "the port is free again", started.ToString())) return;
  cluster.ShowBoth();
  if (!cluster.Dialled(cluster.first(), "a coordinator that was gone for a while")) return;
  const Work stale = e.NewAdd(protocol, 5);
  const Work fresh = e.NewAdd(protocol, 5);
  std::future<Answer> late = cluster.Send(cluster.first(), stale, epoch - 1);
  std::future<Answer> next = cluster.Send(cluster.first(), fresh, epoch);
  const Answer heard = e.Take(next);
  e.Expect(IsDone(heard), "a command of the highest slot_epoch is done, whoever sends it",
           Shown(heard));
  const Answer silence = e.Take(late, kSilence);
  e.Expect(!silence.reply, "no answer to a slot_epoch lower than another coordinator's",
           Shown(silence));

  // Questions go by the first one's session.
  const bool tcc = protocol == v1::TCC;
  for (const auto& [work, when] : {std::pair(done, "of what both have asked"),
                                   std::pair(running, "of what ran while its coordinator died"),
                                   std::pair(fresh, "of the owner's command")}) {
    if (protocol != v1::TWO_PHASE)
      e.LedgerIs(work.account, tcc ? Ledger{0, 5} : Ledger{5, 0}, when);
    e.Done(work, Undo(protocol));
    e.LedgerIs(work.account, {0, 0}, std::string(when) + ", undone");
  }
  e.LedgerIs(stale.account, {0, 0}, "of what the former owner asked");
}

}  // namespace assent::contract

// What a session is, beginning to end; how much it takes.
#include <algorithm>
#include <thread>

#include <assent/limits.h>

#include "tests/contract/limits.h"
#include "tests/contract/rules.h"
#include "tests/contract/session_server.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

void StillWorks(Examination& e, const std::string& when) {
  const v1::Protocol protocol = e.protocols.front();
  const Work work = e.NewAdd(protocol, 5);
  const Answer answer = e.Ask(work, Forward(protocol));
  e.Expect(IsDone(answer), Shown(work, Forward(protocol)) + " is DONE " + when, Shown(answer));
  e.Ask(work, Undo(protocol));
}

std::size_t Answered(const std::vector<std::future<Answer>>& sent) {
  return static_cast<std::size_t>(std::count_if(sent.begin(), sent.end(), [](const auto& answer) {
    return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }));
}

}  // namespace

void HelloIsSound(Examination& e) {
  const auto session = e.peer().sessions()->WaitCurrent(e.patience());
  if (session == nullptr) return;
  const v1::Hello hello = session->hello();
  e.Expect(hello.version() == 1, "version 1", std::to_string(hello.version()));
  e.Expect(hello.service() == kService, std::string("service ") + kService,
           Printable(hello.service()));
  e.Expect(hello.instance().size() <= limits::kMaxInstanceNameBytes,
           "an instance of at most " + std::to_string(limits::kMaxInstanceNameBytes) + " bytes",
           std::to_string(hello.instance().size()));
  e.Expect(hello.agent().size() <= limits::kMaxAgentBytes,
           "an agent of at most " + std::to_string(limits::kMaxAgentBytes) + " bytes",
           std::to_string(hello.agent().size()));
  std::set<std::pair<std::string, v1::Protocol>> seen;
  for (const v1::ActionInfo& action : hello.actions()) {
    e.Expect(!action.name().empty() && action.name().size() <= limits::kMaxActionNameBytes &&
                 v1::Protocol_IsValid(action.protocol()) && action.protocol() != 0,
             "an action has a name and a protocol", Printable(action.name()));
    e.Expect(seen.emplace(action.name(), action.protocol()).second, "each action once",
             Printable(action.name()) + " twice");
  }
  for (const char* name : {"read", "echo", "bytes"}) {
    e.Expect(seen.count({name, v1::SAGA}) == 1,
             std::string("the standard action ") + name + " is announced for saga", "it is not");
  }
}

void Reconnect(Examination& e) {
  SessionServer& server = *e.peer().sessions();
  const auto again = [&](const std::string& after) {
    e.findings().About("after " + after);
    return e.Reachable();
  };
  if (const auto session = server.Current())
    session->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping: dial again"));
  if (!again("a stream that ended with UNAVAILABLE")) return;
  if (const auto session = server.Current())
    session->End(grpc::Status(grpc::StatusCode::INTERNAL, "a proxy's"));
  if (!again("a stream that ended with INTERNAL")) return;
  server.RefuseNext(3);
  if (const auto session = server.Current()) session->Cut();
  if (!again("three streams without a Welcome")) return;
  e.Expect(server.refusals_left() == 0, "three streams were refused", "fewer");
  StillWorks(e, "on the new session");

  server.Stop();
  const Work work = e.NewAdd(e.protocols.front(), 5);
  std::this_thread::sleep_for(kSilence);  // tidy: allow(sleep) nobody listens for a while
  const Status started = server.Start();
  if (!e.Expect(started.ok(), "the port is free again", started.ToString())) return;
  if (!again("a coordinator that was gone for a while")) return;
  e.Done(work, Forward(work.protocol));
  e.Done(work, Undo(work.protocol));
}

void Goodbye(Examination& e) {
  const auto session = e.peer().sessions()->WaitCurrent(e.patience());
  if (session == nullptr) return;
  const v1::Protocol protocol = e.protocols.front();
  const Work work = e.NewAdd(protocol, 5, {.wait_ms = 250});
  std::future<Answer> sent = e.Send(work, Forward(protocol));
  e.Take(sent, std::chrono::milliseconds(100));  // it has it, as far as that can be seen from here
  e.subject().Terminate();
  e.Expect(test::WaitUntil([&] { return session->goodbye() || session->ended(); }, e.patience()) &&
               session->goodbye(),
           "a frame with goodbye after SIGTERM", session->ended() ? "the stream ended" : "none");
  Answer answer;
  if (sent.valid()) answer = e.Take(sent);
  e.Expect(answer.reply.has_value(), "what it had is answered before it leaves", Shown(answer));
  e.Expect(test::WaitUntil([&] { return session->ended(); }, e.patience()), "the stream ends",
           "it stands");
  e.Expect(e.subject().WaitForExit(e.patience()).has_value(), "the process ends", "it runs");
  if (!e.KillAndRestart()) return;
  if (IsDone(answer)) e.SameAgain(work, Forward(protocol), answer);
  e.Done(work, Undo(protocol));
}

void CoordinatorGoodbye(Examination& e) {
  SessionServer& server = *e.peer().sessions();
  const auto session = server.WaitCurrent(e.patience());
  if (session == nullptr) return;
  const v1::Protocol protocol = e.protocols.front();
  const Work work = e.NewAdd(protocol, 5, {.wait_ms = 100});
  std::future<Answer> sent = e.Send(work, Forward(protocol));
  v1::CoordinatorFrame goodbye;
  goodbye.set_goodbye(true);
  session->Write(goodbye);
  const Answer answer = e.Take(sent);
  e.Expect(answer.reply.has_value(), "what it had is answered after the coordinator's goodbye",
           Shown(answer));
  session->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping: dial again"));
  if (!e.Reachable()) return;
  if (IsDone(answer)) e.SameAgain(work, Forward(protocol), answer);
  e.Done(work, Undo(protocol));
}

void StaleSlot(Examination& e) {
  const v1::Protocol protocol = e.protocols.front();
  const auto send = [&](const Work& work, std::uint64_t epoch) {
    v1::BranchCommand command = Command(work, Forward(protocol));
    command.set_slot(7);
    command.set_slot_epoch(epoch);
    return e.peer().Send(command);
  };
  // Higher than any of an earlier run, which the process may remember.
  static std::uint64_t highest = 100;
  highest += 10;
  const Work first = e.NewAdd(protocol, 5);
  const Work stale = e.NewAdd(protocol, 5);
  const Work same = e.NewAdd(protocol, 5);
  std::future<Answer> sent = send(first, highest);
  const Answer answer = e.Take(sent);
  e.Expect(answer.reply.has_value(), "a command of a slot's owner is answered", Shown(answer));
  std::future<Answer> late = send(stale, highest - 1);
  std::future<Answer> next = send(same, highest);
  const Answer later = e.Take(next);
  e.Expect(later.reply.has_value(), "a second command of the owner is answered", Shown(later));
  const Answer silence = e.Take(late, kSilence);
  e.Expect(!silence.reply, "no answer to a command with a lower slot_epoch", Shown(silence));
  e.LedgerIs(stale.account, {0, 0}, "of what the former owner asked");
}

void BackPressure(Examination& e) {
  const std::size_t count = e.peer().MaxAtOnce();
  const std::string account = e.Name();
  std::vector<Work> works;
  for (std::size_t i = 0; i < count; ++i) works.push_back(Add(v1::SAGA, e.Name(), account, 1));
  std::vector<std::future<Answer>> sent;
  if (SessionServer* const server = e.peer().sessions()) {
    const auto session = server->Current();
    if (session == nullptr) return;
    for (std::size_t at = 0; at < count; at += limits::kMaxFrameMessagesCount) {
      std::vector<v1::BranchCommand> frame;
      for (std::size_t i = at; i < std::min(count, at + limits::kMaxFrameMessagesCount); ++i)
        frame.push_back(Command(works[i], v1::ACTION));
      for (auto& answer : session->Send(std::move(frame))) sent.push_back(std::move(answer));
    }
  } else {
    for (const Work& work : works) sent.push_back(e.Send(work, v1::ACTION));
  }
  // Patience begins anew with each answer.
  for (std::size_t before = 0; Answered(sent) < count; before = Answered(sent)) {
    if (!test::WaitUntil([&] { return Answered(sent) > before; }, e.patience())) break;
  }
  std::size_t answered = 0;
  std::vector<bool> done(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (sent[i].wait_for(std::chrono::seconds(0)) != std::future_status::ready) continue;
    const Answer answer = sent[i].get();
    if (answer.reply) ++answered;
    done[i] = IsDone(answer);
  }
  e.Expect(answered == count, "an answer to each of " + std::to_string(count) + " at once",
           std::to_string(answered) + " answers");
  if (answered < count) return;
  for (std::size_t i = 0; i < count; ++i) {
    if (!done[i]) e.Done(works[i], v1::ACTION);  // "retry later" is an answer
  }
  e.LedgerIs(account, {static_cast<std::int64_t>(count), 0}, "after as many at once");
}

}  // namespace assent::contract

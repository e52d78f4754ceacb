// What is in messages: any bytes, large ones, hostile ones, what is handed on.
#include <nlohmann/json.hpp>

#include <assent/limits.h>

#include "tests/contract/limits.h"
#include "tests/contract/rules.h"

namespace assent::contract {
namespace {

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  return bytes + std::string("\xff\xfe\0\xc3(", 5);
}

void GoesOn(Examination& e, const std::string& what) {
  if (e.subject().ours())
    e.Expect(e.subject().Running(), "the process runs after " + what, "it has ended");
  if (!e.Reachable()) return;
  const v1::Protocol protocol = e.protocols.front();
  const Work work = e.NewAdd(protocol, 5);
  const Answer answer = e.Ask(work, Forward(protocol));
  e.Expect(IsDone(answer), Shown(work, Forward(protocol)) + " is DONE after " + what,
           Shown(answer));
  if (IsDone(answer)) {
    e.Ask(work, Undo(protocol));
  } else if (e.subject().ours()) {
    e.KillAndRestart();
  }
}

nlohmann::json Echo(Examination& e, const Work& work) {
  const Answer answer = e.Done(work, v1::ACTION);
  auto echo = nlohmann::json::parse(answer.reply ? answer.reply->result() : "", nullptr, false);
  e.Expect(echo.is_object(), "the result of echo is a JSON object", Shown(answer));
  return echo;
}

// field of `object`, or null.
nlohmann::json At(const nlohmann::json& object, const std::string& field) {
  return object.is_object() && object.contains(field) ? object[field] : nlohmann::json();
}

constexpr char kTraceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr char kTracestate[] = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

}  // namespace

void AnyBytes(Examination& e) {
  const std::string bytes = AllBytes();
  for (const std::string& payload : {bytes, std::string(), std::string(1, '\0')}) {
    const Work work = Plain(e.Name(), "bytes", payload);
    const Answer answer = e.Done(work, v1::ACTION);
    if (!answer.reply) continue;
    e.Expect(answer.reply->result() == payload,
             "the result of bytes is the payload, " + std::to_string(payload.size()) +
                 " bytes: " + Printable(payload),
             Printable(answer.reply->result()));
    e.SameAgain(work, v1::ACTION, answer);
  }
}

void ReasonBytes(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5, {.refuse = "no: \xff\xfe\xc3("});
    const Answer refused = e.Refused(work, Forward(protocol), "the payload says so");
    e.SameAgain(work, Forward(protocol), refused);
    const Work more = e.NewAdd(protocol, 5, {.refuse = std::string(3000, 'x')});
    e.Refused(more, Forward(protocol), "the payload says so, at length");
  }
}

void Large(Examination& e) {
  const v1::Protocol protocol = e.protocols.front();
  Work work = e.NewAdd(protocol, 5, {.padding = limits::kMaxPayloadBytes - 200});
  e.Done(work, Forward(protocol));
  e.Done(work, Undo(protocol));
  const Work most = Plain(e.Name(), "bytes", std::string(limits::kMaxResultBytes, 'r'));
  const Answer answer = e.Done(most, v1::ACTION);
  if (answer.reply) {
    e.Expect(answer.reply->result() == most.payload,
             "a result of " + std::to_string(limits::kMaxResultBytes) + " bytes comes whole",
             std::to_string(answer.reply->result().size()) + " bytes");
  }
  const Work over = Plain(e.Name(), "bytes", std::string(limits::kMaxResultBytes + 1, 'r'));
  e.NotDone(over, v1::ACTION, "its result would be one byte over the limit");
  e.LedgerIs(work.account, {0, 0}, "after large payloads");
}

void Hostile(Examination& e) {
  const v1::Protocol protocol = e.protocols.front();
  const auto with = [&](const char* what, const auto& change) {
    Work work = e.NewAdd(protocol, 5);
    v1::BranchCommand command = Command(work, Forward(protocol));
    change(command);
    std::future<Answer> sent = e.peer().Send(command);
    const Answer answer = e.Take(sent, kSilence);
    e.Expect(!IsDone(answer), std::string("a command ") + what + " is not DONE", Shown(answer));
    GoesOn(e, std::string("a command ") + what);
    e.LedgerIs(work.account, {0, 0}, std::string("of a command ") + what);
  };
  with("with an operation that nobody knows",
       [](v1::BranchCommand& c) { c.set_operation(static_cast<v1::Operation>(99)); });
  with("without an operation", [](v1::BranchCommand& c) { c.clear_operation(); });
  with("without gid and branch", [](v1::BranchCommand& c) {
    c.clear_gid();
    c.clear_branch_id();
  });

  const Work forged = e.NewAdd(protocol, 5);
  for (Peer::Forged& one : e.peer().SendForged(Command(forged, Forward(protocol)))) {
    const Answer answer = e.Take(one.answer);
    e.Expect(!answer.reply, "a command " + one.how + " has no reply", Shown(answer));
  }
  e.LedgerIs(forged.account, {0, 0}, "of commands that no coordinator has sent");

  e.peer().SendBytes(std::string("\xff\xff\xff\xff\xff\x07garbage", 13));
  GoesOn(e, "bytes that are no message");
  std::string bytes = e.peer().OnTheWire(Command(e.NewAdd(protocol, 5), Forward(protocol)));
  e.peer().SendBytes(bytes.substr(0, bytes.size() / 2));
  GoesOn(e, "half a message");
  v1::BranchCommand command = Command(e.NewAdd(protocol, 5), Forward(protocol));
  command.set_action("no-\x7f\x7f-text");
  bytes = e.peer().OnTheWire(command);
  for (char& c : bytes) c = c == '\x7f' ? '\xff' : c;
  e.peer().SendBytes(bytes);
  GoesOn(e, "an action that is not UTF-8");

  // A later version of the contract: what is not known is passed over.
  const Work work = e.NewAdd(protocol, 5);
  v1::BranchCommand later = Command(work, Forward(protocol));
  later.GetReflection()->MutableUnknownFields(&later)->AddLengthDelimited(1900, "of the future");
  std::future<Answer> sent = e.peer().Send(later);
  const Answer answer = e.Take(sent);
  e.Expect(IsDone(answer), "a command with a field of a later version is DONE", Shown(answer));
  e.Done(work, Undo(protocol));
}

void Oversized(Examination& e) {
  const v1::Protocol protocol = e.protocols.front();
  const Work work = e.NewAdd(protocol, 5, {.padding = limits::kMaxFrameBytes + 1024});
  v1::BranchCommand command = Command(work, Forward(protocol));
  std::future<Answer> sent = e.peer().Send(command);
  e.Take(sent, kSilence);  // taken or not: both are right
  GoesOn(e, "a message of more than 4 MiB");
  e.Ask(Add(protocol, work.gid, work.account, 5), Undo(protocol));
  e.LedgerIs(work.account, {0, 0}, "after the undo of what may have been too large");
}

void Headers(Examination& e) {
  Work work = Plain(e.Name(), "echo", "{}");
  work.headers = {{"tenant", "north"}, {"Key.With:Odd/Chars", "ä ü \"quoted\""}, {"empty", ""}};
  work.results = {{"1", "first"}, {"stock", R"({"left": 3})"}};
  work.branch_id = "9";
  const nlohmann::json echo = Echo(e, work);
  const nlohmann::json headers = At(echo, "headers");
  for (const auto& [key, value] : work.headers) {
    e.Expect(At(headers, key) == nlohmann::json(value), "the header " + key + ": " + value,
             At(headers, key).dump());
  }
  const nlohmann::json results = At(echo, "results");
  for (const auto& [branch, result] : work.results) {
    e.Expect(At(results, branch) == nlohmann::json(result),
             "the result of branch " + branch + ": " + result, At(results, branch).dump());
  }
}

void Trace(Examination& e) {
  Work work = Plain(e.Name(), "echo", "{}");
  work.traceparent = kTraceparent;
  work.tracestate = kTracestate;
  const nlohmann::json echo = Echo(e, work);
  e.Expect(At(echo, "traceparent") == kTraceparent, std::string("traceparent ") + kTraceparent,
           At(echo, "traceparent").dump());
  e.Expect(At(echo, "tracestate") == kTracestate, std::string("tracestate ") + kTracestate,
           At(echo, "tracestate").dump());
  // The same command with another trace is the same command.
  const Answer first = e.Done(work, v1::ACTION);
  work.traceparent.back() = '0';
  work.tracestate.clear();
  e.SameAgain(work, v1::ACTION, first);
  const Work none = Plain(e.Name(), "echo", "{}");
  const nlohmann::json nothing = At(Echo(e, none), "traceparent");
  e.Expect(nothing.is_null() || nothing == "", "no traceparent where there is none",
           nothing.dump());
}

}  // namespace assent::contract

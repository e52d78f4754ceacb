#include "tests/contract/examination.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "tests/contract/limits.h"

namespace assent::contract {
namespace {

using Clock = std::chrono::steady_clock;

bool IsFinal(const Answer& answer) {
  return IsDone(answer) || IsKind(answer, v1::BranchReply::REFUSED);
}

std::optional<Ledger> LedgerOf(const Answer& answer) {
  if (!IsKind(answer, v1::BranchReply::DONE)) return std::nullopt;
  const auto json = nlohmann::json::parse(answer.reply->result(), nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto balance = json.find("balance");
  const auto held = json.find("held");
  if (balance == json.end() || held == json.end() || !balance->is_number_integer() ||
      !held->is_number_integer()) {
    return std::nullopt;
  }
  return Ledger{balance->get<std::int64_t>(), held->get<std::int64_t>()};
}

}  // namespace

bool IsKind(const Answer& answer, v1::BranchReply::Kind kind) {
  return answer.reply && answer.reply->kind() == kind;
}
bool IsDone(const Answer& answer) {
  return IsKind(answer, v1::BranchReply::DONE) || IsKind(answer, v1::BranchReply::DONE_READ_ONLY);
}

std::string Shown(const std::optional<Ledger>& ledger) {
  if (!ledger) return "no ledger";
  return "balance " + std::to_string(ledger->balance) + ", held " + std::to_string(ledger->held);
}
std::string Shown(const Work& work, v1::Operation operation) {
  return v1::Operation_Name(operation) + " of " + kService + "/" + work.action;
}

bool Examination::Begin(Findings& findings, const std::string& rule) {
  findings_ = &findings;
  rule_ = rule;
  // What an earlier rule has broken is that one's fault: this one begins anew.
  if (subject_.ours() && subject_.Running() && subject_.starts() > 0 &&
      !peer_.WaitReachable(patience_))
    Kill();
  return Reachable();
}

bool Examination::Reachable() {
  if (subject_.ours()) {
    if (!subject_.Running()) peer_.Forget();
    const Status started = subject_.Start();
    if (!started.ok()) return Expect(false, "the command can be started", started.ToString());
  }
  if (peer_.WaitReachable(patience_)) return true;
  std::string seen = "nothing";
  if (subject_.ours()) {
    const std::string output = subject_.Output();
    seen = subject_.Running() ? "it runs" : "it has ended";
    seen += ", and wrote: " +
            Printable(output.substr(output.size() - std::min<std::size_t>(output.size(), 150)));
  }
  if (subject_.ours()) Kill();  // what comes next begins anew
  return Expect(false, "it can be reached within " + std::to_string(patience_.count()) + " ms",
                seen);
}

bool Examination::Offers(v1::Protocol protocol) const {
  return std::find(protocols.begin(), protocols.end(), protocol) != protocols.end();
}

Work Examination::NewAdd(v1::Protocol protocol, std::int64_t amount, const AddOptions& options) {
  return Add(protocol, Name(), Name(), amount, options);
}

std::future<Answer> Examination::Send(const Work& work, v1::Operation operation) {
  return peer_.Send(Command(work, operation));
}

Answer Examination::Take(std::future<Answer>& answer, std::chrono::milliseconds timeout) {
  if (answer.wait_for(timeout) == std::future_status::ready) return answer.get();
  return {std::nullopt, "nothing within " + std::to_string(timeout.count()) + " ms"};
}

Answer Examination::AskOnce(const Work& work, v1::Operation operation) {
  std::future<Answer> answer = Send(work, operation);
  return Take(answer);
}

Answer Examination::Ask(const Work& work, v1::Operation operation) {
  const auto end = Clock::now() + patience_;
  v1::BranchCommand command = Command(work, operation);
  for (unsigned attempt = 1;; ++attempt) {
    command.set_attempt(attempt);
    std::future<Answer> sent = peer_.Send(command);
    Answer answer = Take(sent);
    if (IsFinal(answer) || Clock::now() >= end) return answer;
    if (!answer.reply && !peer_.WaitReachable(patience_)) return answer;
    std::this_thread::sleep_for(kAskAgain);  // tidy: allow(sleep) "not yet" means later
  }
}

Answer Examination::Done(const Work& work, v1::Operation operation) {
  Answer answer = Ask(work, operation);
  Expect(IsDone(answer), Shown(work, operation) + " is DONE", Shown(answer));
  return answer;
}

Answer Examination::Refused(const Work& work, v1::Operation operation, const std::string& because) {
  Answer answer = Ask(work, operation);
  Expect(IsKind(answer, v1::BranchReply::REFUSED),
         Shown(work, operation) + " is REFUSED: " + because, Shown(answer));
  return answer;
}

void Examination::NotDone(const Work& work, v1::Operation operation, const std::string& because) {
  const Answer answer = AskOnce(work, operation);
  Expect(!IsDone(answer), Shown(work, operation) + " is not DONE: " + because, Shown(answer));
}

void Examination::SameAgain(const Work& work, v1::Operation operation, const Answer& first) {
  if (!first.reply) return;  // said already
  const Answer again = Ask(work, operation);
  Expect(again.reply && SameReply(*again.reply, *first.reply),
         Shown(work, operation) + ", asked again, has the bytes of the first answer (" +
             Shown(*first.reply) + ")",
         Shown(again));
}

std::optional<Ledger> Examination::Read(const std::string& account) {
  const Work read = Plain(Name(), "read", nlohmann::json{{"account", account}}.dump());
  const Answer answer = Ask(read, v1::ACTION);
  std::optional<Ledger> ledger = LedgerOf(answer);
  if (!ledger) {
    Expect(false, R"(read is DONE, and its result {"balance": …, "held": …})", Shown(answer));
  }
  return ledger;
}

bool Examination::LedgerIs(const std::string& account, Ledger expected, const std::string& when) {
  const std::optional<Ledger> ledger = Read(account);
  if (!ledger) return false;
  return Expect(*ledger == expected, Shown(std::optional(expected)) + " " + when, Shown(ledger));
}

void Examination::Kill() {
  subject_.Kill();
  peer_.Forget();
}

bool Examination::Restart() { return Reachable(); }

bool Examination::KillAndRestart() {
  Kill();
  return Restart();
}

}  // namespace assent::contract

#include "tests/contract/session_peer.h"

#include <algorithm>

#include "tests/contract/limits.h"

namespace assent::contract {

bool SessionPeer::WaitReachable(std::chrono::milliseconds timeout) {
  return server_.WaitCurrent(timeout) != nullptr;
}

void SessionPeer::Forget() {
  if (const auto session = server_.Current()) session->Cut();
}

std::future<Answer> SessionPeer::Send(v1::BranchCommand command) {
  const auto session = server_.Current();
  if (session != nullptr) return std::move(session->Send({std::move(command)}).front());
  std::promise<Answer> nobody;
  nobody.set_value({std::nullopt, "no session"});
  return nobody.get_future();
}

void SessionPeer::SendBytes(std::string bytes) {
  if (const auto session = server_.Current()) session->WriteBytes(bytes);
}

std::string SessionPeer::OnTheWire(const v1::BranchCommand& command) {
  v1::CoordinatorFrame frame;
  *frame.add_commands() = command;
  return frame.SerializeAsString();
}

void SessionPeer::LoseAnswers() {
  if (const auto session = server_.Current()) session->Cut();
}

std::set<std::pair<std::string, v1::Protocol>> SessionPeer::Offered() {
  std::set<std::pair<std::string, v1::Protocol>> offered;
  if (const auto session = server_.Current()) {
    const v1::Hello hello = session->hello();
    for (const v1::ActionInfo& action : hello.actions())
      offered.emplace(action.name(), action.protocol());
  }
  return offered;
}

std::size_t SessionPeer::MaxAtOnce() {
  constexpr std::uint32_t kWhenHelloSaysNothing = 1024;
  const auto session = server_.Current();
  if (session == nullptr) return 1;
  const std::uint32_t said = session->hello().max_in_flight();
  return std::min<std::size_t>(said == 0 ? kWhenHelloSaysNothing : said, kMaxAtOnceCount);
}

}  // namespace assent::contract

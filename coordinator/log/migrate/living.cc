#include "coordinator/log/migrate/living.h"

#include <cstdint>
#include <map>
#include <thread>

namespace assent::log {
namespace {

// Between two looks at the beats of others.
constexpr std::chrono::milliseconds kLook{100};

// By epoch: who it is, and how far it has beaten.
Result<std::map<std::uint64_t, std::string>> Living(Connection& connection) {
  const Answer answer =
      connection.Run("SELECT epoch, beat, node, address FROM member WHERE NOT ended");
  if (!answer.ok()) return answer.status(connection.place() + ": reading table member");
  std::map<std::uint64_t, std::string> living;
  for (int row = 0; row < answer.rows.size(); ++row) {
    living[answer.rows.Unsigned(row, 0)] = "node " + answer.rows.Text(row, 2) + " at " +
                                           answer.rows.Text(row, 3) + ", beat " +
                                           answer.rows.Text(row, 1);
  }
  return living;
}

}  // namespace

Status CheckNobodyLives(Connection& connection, std::chrono::milliseconds patience,
                        const std::function<void(const std::string& words)>& on_progress) {
  const auto before = Living(connection);
  if (!before.ok()) return before.status();
  if (before->empty()) return OkStatus();
  on_progress("looking whether " + std::to_string(before->size()) +
              " members that have not left still live");
  const auto until = std::chrono::steady_clock::now() + patience;
  for (bool last = false; !last;) {
    last = std::chrono::steady_clock::now() >= until;
    const auto now = Living(connection);
    if (!now.ok()) return now.status();
    for (const auto& [epoch, who] : *now) {
      const auto at = before->find(epoch);
      if (at != before->end() && at->second == who) continue;
      return FailedPrecondition(who.substr(0, who.rfind(',')) +
                                " lives: stop all coordinators first");
    }
    if (!last) std::this_thread::sleep_for(kLook);  // tidy: allow(sleep) a beat makes no noise
  }
  return OkStatus();
}

}  // namespace assent::log

#include "participant-sdk/cpp/mariadb/sessions.h"

#include <algorithm>
#include <utility>

namespace assent::mariadb::internal {
namespace {

// An entry of detached_ that nobody has asked about for so long is forgotten.
constexpr std::chrono::minutes kRemembered{10};

}  // namespace

Result<std::unique_ptr<Connection>> Sessions::Open() {
  std::vector<std::unique_ptr<Connection>> stale;  // closed without the lock
  {
    const MutexLock lock(mutex_);
    while (!idle_.empty()) {
      std::unique_ptr<Connection> session = std::move(idle_.back());
      idle_.pop_back();
      if (!session->broken() && !session->IsStale()) return session;
      stale.push_back(std::move(session));
    }
  }
  return Connection::Open(settings_);
}

void Sessions::PutIdle(std::unique_ptr<Connection> session) {
  if (session == nullptr || session->broken()) return;
  const MutexLock lock(mutex_);
  if (idle_.size() < limits::kMaxKeptSessionsCount) idle_.push_back(std::move(session));
}

void Sessions::Keep(const std::string& branch, std::unique_ptr<Connection> session) {
  if (session == nullptr || session->broken()) return;
  Kept oldest;  // closed without the lock
  const MutexLock lock(mutex_);
  if (kept_.size() >= limits::kMaxKeptSessionsCount) {
    oldest = std::move(kept_.front());
    kept_.erase(kept_.begin());
  }
  kept_.push_back({branch, std::move(session)});
}

std::unique_ptr<Connection> Sessions::Take(const std::string& branch) {
  std::unique_ptr<Connection> session;
  {
    const MutexLock lock(mutex_);
    const auto found = std::find_if(kept_.begin(), kept_.end(),
                                    [&branch](const Kept& one) { return one.branch == branch; });
    if (found == kept_.end()) return nullptr;
    session = std::move(found->session);
    kept_.erase(found);
  }
  if (session->broken() || session->IsStale()) return nullptr;
  return session;
}

void Sessions::WaitDetached(const std::string& branch) {
  const Clock::time_point now = Clock::now();
  const MutexLock lock(mutex_);
  std::erase_if(detached_, [now](const auto& one) { return now - one.second > kRemembered; });
  const Clock::time_point end = detached_.try_emplace(branch, now).first->second + kDetachTime;
  while (Clock::now() < end) never_.WaitUntil(mutex_, end);
}

void Sessions::ForgetDetached(const std::string& branch) {
  const MutexLock lock(mutex_);
  detached_.erase(branch);
}

}  // namespace assent::mariadb::internal

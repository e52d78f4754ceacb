#pragma once

// Which threads run handlers, so that a handler which waits for a transaction can be told from any
// other caller: that transaction may need the very threads that wait for it.

#include <assent/status.h>

namespace assent::internal {

// The threads of one executor of handlers.
class Crew {
 public:
  virtual ~Crew() = default;
  // The current thread, one of the crew, is going to wait for a transaction. Not OK: it must not,
  // since nobody may be left to execute it; the sentence says so.
  virtual Status BeginWait() = 0;
  virtual void EndWait() = 0;
};

// Of the current thread; null outside of handlers.
inline thread_local Crew* current_crew = nullptr;

// This thread is one of the crew for as long as the object lives.
class CrewMember {
 public:
  explicit CrewMember(Crew& crew) { current_crew = &crew; }
  ~CrewMember() { current_crew = nullptr; }
  CrewMember(const CrewMember&) = delete;
  CrewMember& operator=(const CrewMember&) = delete;
};

// Around a call that waits for a transaction.
class WaitForTransaction {
 public:
  WaitForTransaction() : crew_(current_crew), status_(crew_ ? crew_->BeginWait() : OkStatus()) {}
  ~WaitForTransaction() {
    if (crew_ != nullptr && status_.ok()) crew_->EndWait();
  }
  WaitForTransaction(const WaitForTransaction&) = delete;
  WaitForTransaction& operator=(const WaitForTransaction&) = delete;
  const Status& status() const { return status_; }

 private:
  Crew* const crew_;
  const Status status_;
};

}  // namespace assent::internal

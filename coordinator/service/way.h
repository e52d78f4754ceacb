#pragma once

// The way of a call, or a watch, to whoever has its transaction, for doors that do not go it
// themselves. The door of the other coordinators' own wire is the one that does.

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <assent/status.h>

#include "coordinator/service/asker.h"
#include "coordinator/service/watch.h"

namespace assent::service {

// A call about one transaction.
struct Errand {
  std::string gid{};
  std::string method{};        // "TransactionService/Get"
  std::string on_behalf_of{};  // who asks, if that is proven
  std::string request{};       // in bytes of the wire
  std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max();
  // It may be said again without doing anything twice.
  bool repeatable = true;
  // Begins something: refused while the database is away.
  bool new_work = false;
  // It is asked of this coordinator (again). With the message, which may be another one by now.
  std::function<void(const std::string& request)> here{};
  // What another one has answered, in bytes of the wire; or nobody has. From any thread, once.
  std::function<void(const Status&, std::string reply)> arrived{};
};

// Under way. Thread-safety: all of it, from any thread.
class Travelling {
 public:
  virtual ~Travelling() = default;
  virtual void Go() = 0;
  // What this coordinator said. True: it is asked again, where the transaction is now.
  virtual bool Again(const Status& said) = 0;
  // Its caller has the answer, or has left.
  virtual void End() = 0;
};

// A watch of a transaction that another coordinator has, to a Viewer.
class DistantWatch {
 public:
  virtual ~DistantWatch() = default;
  virtual void Taken() = 0;
  // Ends it; the viewer is told, if it has not been.
  virtual void Leave() = 0;
};

class Way {
 public:
  virtual ~Way() = default;
  // Nothing happens before Go. `is_here`: this coordinator will be asked first, by its door.
  virtual std::shared_ptr<Travelling> Send(Errand errand, bool is_here) = 0;
  virtual std::shared_ptr<DistantWatch> Watch(const Caller& caller, const v1::WatchRequest& request,
                                              std::shared_ptr<Viewer> viewer) = 0;
};

}  // namespace assent::service

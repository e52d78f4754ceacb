#pragma once

// Who asks, and where its answer goes: what a door hands to the service with each request.

#include <memory>
#include <string>

#include <absl/functional/function_ref.h>

#include <assent/status.h>

#include "coordinator/security/grants.h"

namespace assent::service {

// Who is asking, as far as its door knows.
struct Caller {
  // The connection that it came on and the host behind it, as the door names them; alike where the
  // clients of a host cannot be told apart.
  std::string connection = {};
  std::string address = {};
  // Who it has proven to be. Empty: nobody, and what it says of itself is taken as it stands.
  std::string name = {};
  // What it may. nullptr: everything.
  security::GrantsPtr grants = {};
  // Another coordinator hands this on, or asks for what is here alone: it goes no further.
  bool forwarded = false;

  // Whom another coordinator is asked for. Who is not known here is nobody there either: without a
  // word of him it would be the coordinator itself that asks.
  std::string on_behalf_of() const { return grants != nullptr && name.empty() ? "anyone" : name; }
};

// One request's answer, to be given once, from any thread.
template <typename Reply>
class Asker {
 public:
  virtual ~Asker() = default;
  // With OK, `fill` writes the reply before this returns, if somebody still waits for it.
  virtual void Answer(const Status& status, absl::FunctionRef<void(Reply&)> fill) = 0;
  // Whoever asked has gone away.
  virtual bool Over() = 0;

  void Fail(const Status& status) {
    Answer(status, [](Reply&) {});
  }
};
template <typename Reply>
using AskerPtr = std::shared_ptr<Asker<Reply>>;

}  // namespace assent::service

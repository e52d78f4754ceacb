#pragma once

// What must always be true, as named predicates. Each is one function of what really happened
// (books.h) and reads like its sentence. The simulator evaluates
//   kAlways   after every event, on each transaction that the event touched
//   kAtSend   on each command, when the engine hands it to the transport, against what would
//             survive a power cut then
//   kAtTold   when somebody outside is told how a transaction stands
//   kAtRest   when the world has healed and nothing moves any more
// S3, S11, T6, T9 and the L rules look at more than one transaction, or at none;
// docs/correctness.md says where each is checked.

#include <cstdint>
#include <string>

#include "coordinator/transport/transport.h"
#include "tools/assent-sim/books.h"

namespace assent::sim {

// A command on its way out. `durable` is what a power cut now would leave of its transaction;
// null: nothing.
struct SendSeen {
  const TransactionBooks& books;
  const core::Transaction* durable;
  std::uint64_t durable_epoch;
  std::uint64_t life_epoch;
  const transport::Command& command;
};

// What an initiator, operator or watcher is shown.
struct ToldSeen {
  const TransactionBooks& books;
  const core::Transaction& shown;
  Time now;
};

struct AlwaysRule {
  const char* name;
  const char* says;
  bool (*holds)(const TransactionBooks&);
  // Holds as well for a transaction of which a restored log has missed something: what
  // participants' barriers guarantee by themselves, and what the log never undoes. What joins
  // branches with each other is lost with the log.
  bool after_restore = false;
};
struct SendRule {
  const char* name;
  const char* says;
  bool (*holds)(const SendSeen&);
};
struct ToldRule {
  const char* name;
  const char* says;
  bool (*holds)(const ToldSeen&);
};

// The first rule that is broken, as "S1 no transaction with …: t3"; empty if none is.
std::string BrokenAlways(const TransactionBooks& books);
std::string BrokenAtSend(const SendSeen& seen);
std::string BrokenAtTold(const ToldSeen& seen);
// Of a transaction that has ended, or never began.
std::string BrokenAtRest(const TransactionBooks& books);

}  // namespace assent::sim

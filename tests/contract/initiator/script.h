#pragma once

// A coordinator that does what a script says: it begins transactions and loses the answers, says no
// for others, hands on, goes away. What it has carried out is in one book, which several members
// share as coordinators share a log.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/transaction.pb.h"
#include "tests/contract/verdict.h"

namespace assent::contract {

enum class Asked { kSubmit, kStream, kBegin, kExecute, kCommit, kRollback, kWait, kGet };

// One question about one transaction. `number` counts those of its kind, about it, from 1, at all
// members together.
struct Visit {
  Asked asked = Asked::kSubmit;
  std::string gid;
  int number = 1;
  std::size_t member = 0;
};

struct Reaction {
  bool carry_out = true;  // before anything is said
  grpc::StatusCode code = grpc::StatusCode::OK;
  bool hang = false;         // no answer until the connection is lost
  std::string owner = {};    // trailer assent-owner
  int retry_after_ms = 0;    // trailer assent-retry-after-ms
  bool ends_stream = false;  // SubmitStream: ends it with the code, in place of a reply with it
};
using Script = std::function<Reaction(const Visit&)>;

// Thread-safe.
class Book {
 public:
  // What becomes of a transaction once it is begun; commit unless said otherwise.
  void Abort(const std::string& gid);
  // Only these may be asked for.
  void Expect(const std::string& gid);

  // Counts it.
  Visit Note(Asked asked, const std::string& gid, std::size_t member);
  int VisitsOf(Asked asked, const std::string& gid) const;
  int VisitsOf(const std::string& gid) const;

  // The first begins it; each later one has to say the same.
  void Begin(const v1::TransactionSpec& spec);
  void Execute(const std::string& gid, const v1::BranchSpec& branch);
  // The end of an interactive one.
  void End(const std::string& gid, v1::Outcome outcome);
  bool Begun(const std::string& gid) const;
  v1::Outcome OutcomeOf(const std::string& gid) const;
  v1::SubmitReply ReplyTo(const std::string& gid) const;

  void AddFault(std::string expected, std::string seen);
  std::vector<Fault> TakeFaults();

 private:
  struct Entry {
    std::string spec;  // the bytes of the first one
    std::map<std::string, std::string> branches;
    v1::Outcome outcome = v1::COMMITTED;
    bool begun = false;
    bool interactive = false;
    bool ended = false;
  };
  mutable Mutex mutex_;
  std::set<std::string> expected_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::string, Entry> entries_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, Asked>, int> visits_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Fault> faults_ ASSENT_GUARDED_BY(mutex_);
};

// Members that share a book. Start and Stop from one thread.
class ScriptedCluster {
 public:
  ScriptedCluster(std::string listen, std::size_t members, Script script, Book& book);
  ~ScriptedCluster();
  Status Start(std::size_t member);
  // As one that dies: calls are lost, the port is closed.
  void Stop(std::size_t member);
  // "host:port", separated by commas.
  std::string endpoints() const;
  const std::string& address(std::size_t member) const { return members_[member]->address; }

 private:
  class Transactions;
  class Cluster;
  struct Member {
    std::string address;
    std::unique_ptr<Transactions> transactions;
    std::unique_ptr<Cluster> cluster;
    std::unique_ptr<grpc::Server> server;
  };
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace assent::contract

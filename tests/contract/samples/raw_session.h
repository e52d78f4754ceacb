#pragma once

// Sessions without the SDK: dial each coordinator, Hello, commands to threads, replies, questions,
// goodbye.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "assent/v1/cluster.grpc.pb.h"
#include "assent/v1/participant.grpc.pb.h"
#include "tests/contract/samples/ledger.h"

namespace assent::contract::samples {

class RawSession {
 public:
  RawSession(LedgerParticipant& ledger, std::string endpoint);
  ~RawSession();
  RawSession(const RawSession&) = delete;
  RawSession& operator=(const RawSession&) = delete;

  // Dials, and dials again, until Stop; whoever else is a coordinator of the same log, too.
  void Run();
  // Says goodbye, answers what it has, and makes Run return. From any thread.
  void Stop();

 private:
  using Stream = grpc::ClientReaderWriter<v1::ParticipantFrame, v1::CoordinatorFrame>;
  // One connection. Writes come from several threads.
  struct Link {
    std::string endpoint;
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream;
    std::mutex mutex;
    bool open = true;
    std::atomic<bool> welcomed = false;
  };
  void DialForEver(const std::string& endpoint);
  // Until the stream ends. False: for good.
  bool Converse(const std::string& endpoint);
  // Learns of the other coordinators from one of them, until it ends.
  void Watch(const std::string& endpoint);
  void DialOthers(const v1::ClusterView& view);
  void Take(const std::shared_ptr<Link>& link, const v1::CoordinatorFrame& frame);
  void Write(Link& link, const v1::ParticipantFrame& frame);
  v1::ParticipantFrame Hello() const;
  bool IsStale(const v1::BranchCommand& command);
  void Work();

  LedgerParticipant& ledger_;
  const std::string endpoint_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool ended_ = false;
  std::size_t running_ = 0;
  std::set<std::shared_ptr<Link>> links_;
  std::set<std::string> dialled_;
  // Who is asked for the map now, and how to end that.
  std::map<std::string, grpc::ClientContext*> watched_;
  std::vector<std::thread> dialers_;
  std::vector<std::thread> watchers_;
  std::deque<std::pair<std::shared_ptr<Link>, v1::BranchCommand>> queue_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> slots_;
  std::vector<std::thread> workers_;
};

}  // namespace assent::contract::samples

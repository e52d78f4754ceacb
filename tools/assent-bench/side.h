#pragma once

// A coordinator with its participants, for loads beside transactions that wait for a participant
// who is not there.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/client.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "tools/assent-bench/child.h"
#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {

class Side {
 public:
  // Ends the program with a message when a process cannot be started, as everything here does when
  // something fails.
  explicit Side(const Load& load);

  // One run of an initiator: what it saw.
  nlohmann::json Initiate(const Load& load);
  // Begins them, and waits until each has heard that nobody is there. So many have.
  std::uint64_t BeginAbsent(std::uint64_t transactions);
  // Transactions that wait for the service that is not there.
  std::uint64_t Waiting();
  v1::ListReply Page(v1::ListRequest& request);

  const std::string& endpoint() const { return endpoint_; }
  const std::string& http() const { return http_; }  // if the load has it

 private:
  std::string errors() const { return folder_.path() + "/errors"; }
  std::unique_ptr<Child> Start(std::vector<std::string> words, const Load& load);

  const Load load_;
  const Folder folder_;
  std::unique_ptr<Child> coordinator_;
  std::string endpoint_;
  std::string http_;
  std::vector<std::unique_ptr<Child>> participants_;
  std::unique_ptr<v1::TransactionService::Stub> stub_;
};

// So many, of which `in_flight` are under way at a time, each as far as `wait` says. Ends the
// program if one fails.
void SubmitAll(const Client& client, std::uint64_t count, std::uint64_t in_flight, WaitFor wait,
               const std::function<Transaction()>& next);

}  // namespace assent::bench

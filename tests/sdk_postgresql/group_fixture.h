#pragma once

// Operations that share a group, whatever the threads' luck.

#include <cstddef>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sdk_postgresql/store_fixture.h"

namespace assent::postgresql::test {

// Groups begin when everything has been queued: as many operations as the first two could take, and
// then all others together.
class GroupTest : public StoreTest {
 protected:
  Options Gated(std::size_t connections = limits::kMinConnectionsCount) {
    Options options = MakeOptions();
    options.connections = connections;
    options.at_point = [this](std::string_view point) {
      if (point == "group:began") all_queued_.wait();
    };
    return options;
  }
  // One call each of so many branches; the gid is "g" and the number.
  std::vector<Call> Calls(int count, Operation operation, Protocol protocol) {
    std::vector<Call> calls;
    for (int i = 1; i <= count; ++i) {
      calls.push_back(Branch{.gid = "g" + std::to_string(i),
                             .protocol = protocol,
                             .payload = std::to_string(i) + " -1"}
                          .To(operation));
    }
    return calls;
  }
  std::vector<Reply> AskTogether(std::vector<Call> calls) {
    std::vector<std::future<Reply>> futures = Queue(std::move(calls));
    all_queued_.count_down();
    return Wait(std::move(futures));
  }
  // Of a store of MakeOptions with as few connections as there may be: all of them wait until
  // everything has been queued, so that one group takes all that it may.
  std::vector<Reply> AskInOneGroup(std::vector<Call> calls) {
    std::latch all_queued(1);
    std::vector<std::future<Status>> busy;
    for (std::size_t i = 0; i < limits::kMinConnectionsCount; ++i) {
      std::latch runs(1);
      const auto wait = [&](Db&) {
        runs.count_down();
        all_queued.wait();
        return OkStatus();
      };
      busy.push_back(std::async(std::launch::async, [this, wait] { return store().Local(wait); }));
      runs.wait();
    }
    std::vector<std::future<Reply>> futures = Queue(std::move(calls));
    all_queued.count_down();
    for (auto& one : busy) EXPECT_EQ(one.get(), OkStatus());
    return Wait(std::move(futures));
  }

 private:
  std::vector<std::future<Reply>> Queue(std::vector<Call> calls) {
    std::vector<std::future<Reply>> futures;
    for (Call& call : calls) {
      auto promise = std::make_shared<std::promise<Reply>>();
      futures.push_back(promise->get_future());
      store().Execute(std::move(call), [promise](Reply reply) { promise->set_value(reply); });
    }
    return futures;
  }
  static std::vector<Reply> Wait(std::vector<std::future<Reply>> futures) {
    std::vector<Reply> replies;
    for (auto& future : futures) replies.push_back(future.get());
    return replies;
  }

  std::latch all_queued_{1};
};

}  // namespace assent::postgresql::test

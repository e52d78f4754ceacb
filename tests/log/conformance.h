#pragma once

// What every log must do, whatever it is made of: conformance.cc holds the tests, and each
// implementation runs them by instantiating the suite with a rig of its own (memory_conformance.cc,
// postgresql_conformance.cc, sqlite_conformance.cc).

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "tests/log/log_rig.h"

#define EXPECT_OK(result) EXPECT_TRUE((result).status.ok()) << (result).status.ToString()

namespace assent::log {

// A place that keeps what logs wrote, and opens one log at a time on it.
class LogRig {
 public:
  struct Limits {
    std::size_t max_queued_entries = 1 << 20;
  };
  virtual ~LogRig() = default;
  // Not yet recovered.
  virtual LogClient Open(const Limits& limits) = 0;
  // The log's thread takes no work until Resume, so that a test can fill the queue. Between the
  // two, nothing may wait.
  virtual void Pause(LogClient& client) = 0;
  virtual void Resume(LogClient& client) = 0;
  // Several coordinators may own parts of it: a start is one when it has joined, whatever it loads;
  // serials come by the clock; slots have epochs.
  virtual bool shared() const { return false; }
};

struct RigFactory {
  std::string name;
  std::function<std::unique_ptr<LogRig>()> make;
  friend void PrintTo(const RigFactory& rig, std::ostream* out) { *out << rig.name; }
};

class LogConformance : public testing::TestWithParam<RigFactory> {
 protected:
  std::unique_ptr<LogClient> Start(const LogRig::Limits& limits = {}) {
    auto client = std::make_unique<LogClient>(rig_->Open(limits));
    const Status status = client->Recover();
    EXPECT_TRUE(status.ok()) << status.ToString();
    return client;
  }

  void ExpectNextSerial(const LogClient& log, std::uint64_t next) const {
    if (rig_->shared()) return;
    EXPECT_EQ(log.recovered().next_serial, next);
  }

  std::unique_ptr<LogRig> rig_ = GetParam().make();
};

}  // namespace assent::log

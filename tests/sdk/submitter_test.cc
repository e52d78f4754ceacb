// SubmitAsync with real threads and scripted streams: what TSan sees.

#include "participant-sdk/cpp/src/submitter.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/sdk/scripted_dialer.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ScriptedDialer;
using testing::ScriptedStream;

class SubmitterTest : public ::testing::Test {
 protected:
  SubmitterTest() {
    SubmitQueue::Options options;
    options.retry.initial_backoff = milliseconds(1);
    options.retry.max_backoff = milliseconds(5);
    options.routes = std::make_shared<const Routes>(std::vector<std::string>{"here:1"});
    submitter_ = std::make_shared<Submitter>(std::move(options), [dials = dials_](const auto&) {
      return std::make_unique<ScriptedDialer>(dials);
    });
    submitter_->Start();
  }
  ~SubmitterTest() override {
    if (submitter_) submitter_->Shutdown();
    dials_->Join();
  }

  void Submit(const std::string& gid, Connection::ReportCallback done,
              milliseconds timeout = seconds(60)) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    submitter_->Submit(std::move(request), std::move(done),
                       std::chrono::steady_clock::now() + timeout);
  }
  // Answers whatever comes until `frames` have been answered or the stream ends.
  static void Answer(ScriptedStream& stream, int frames) {
    v1::SubmitRequestFrame requests;
    for (int i = 0; i < frames && stream.Receive(&requests); ++i) {
      v1::SubmitReplyFrame replies;
      for (const v1::SubmitRequest& request : requests.requests()) {
        v1::SubmitReply* reply = replies.add_replies();
        reply->set_request_id(request.request_id());
        reply->set_gid(request.transaction().gid());
        reply->set_outcome(v1::COMMITTED);
      }
      stream.Send(replies);
    }
  }

  const std::shared_ptr<ScriptedDialer::Shared> dials_ = std::make_shared<ScriptedDialer::Shared>();
  std::shared_ptr<Submitter> submitter_;
};

TEST_F(SubmitterTest, ManyThreadsManyCutsEachCompletedOnce) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  std::atomic<int> committed{0};
  std::vector<std::atomic<int>> times(kThreads * kEach);
  std::thread coordinator([&] {
    for (int cut = 0; committed < kThreads * kEach; ++cut) {
      const auto stream = dials_->Next();
      if (!stream) return;
      Answer(*stream, cut < 10 ? 3 : 1'000'000);
      stream->Close(Unavailable("cut"));
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto index = static_cast<std::size_t>(t * kEach + i);
        Submit("g" + std::to_string(index), [&, index](const Result<Report>& report) {
          EXPECT_TRUE(report.ok()) << report.status().ToString();
          EXPECT_EQ(++times[index], 1);
          if (++committed == kThreads * kEach)
            submitter_->Shutdown();  // ends the coordinator's stream
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  coordinator.join();
  EXPECT_EQ(committed, kThreads * kEach);
}

TEST_F(SubmitterTest, ATimeoutCompletesWithoutAnyReport) {
  std::mutex mutex;
  std::condition_variable changed;
  Code code = Code::kOk;
  Submit(
      "g1",
      [&](const Result<Report>& report) {
        const std::lock_guard lock(mutex);
        code = report.status().code();
        changed.notify_all();
      },
      milliseconds(30));
  std::unique_lock lock(mutex);
  ASSERT_TRUE(changed.wait_for(lock, seconds(10), [&] { return code != Code::kOk; }));
  EXPECT_EQ(code, Code::kUnknownOutcome);  // it was sent
}

TEST_F(SubmitterTest, ShutdownRacesWithSubmitters) {
  std::atomic<int> completed{0};
  const auto submit = [&](const std::string& prefix) {
    for (int i = 0; i < 200; ++i) {
      Submit(prefix + std::to_string(i), [&](const Result<Report>& report) {
        EXPECT_FALSE(report.ok());
        ++completed;
      });
    }
  };
  submit("before");  // so there is a stream, which nobody answers
  std::thread other([&] { submit("beside"); });
  submitter_->Shutdown();
  other.join();
  submit("after");
  EXPECT_EQ(completed, 600);
}

}  // namespace
}  // namespace assent::internal

// A client of several coordinators that share a log: whichever of them dies, is stopped, or has
// lost the transaction, each call has one outcome, and gets it.

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/client.h>

#include "tests/sdk/fake_cluster.h"

namespace assent {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::Eventually;
using testing::FakeCoordinator;
using testing::GidOf;
using testing::Hang;
using testing::Script;
using testing::SharedView;
using testing::SubmitStream;
using testing::ViewOf;
using testing::ViewStream;

Transaction Order(const std::string& gid) {
  Transaction order;
  order.Gid(gid).Tcc("inventory", "reserve").Deadline(5s);
  return order;
}

void Commit(const std::string& gid, v1::SubmitReply* reply) {
  reply->set_gid(gid);
  reply->set_state(v1::COMMITTING);
  reply->set_outcome(v1::COMMITTED);
}

// Takes every kind of call, and notes whose. `before` is asked first, and may end it.
class Coordinator {
 public:
  using Before = std::function<grpc::Status(grpc::ServerContext*)>;
  // Without a view: a daemon that has no ClusterService.
  explicit Coordinator(SharedView* view, Before before = {}) : before_(std::move(before)) {
    Script script;
    if (view != nullptr) {
      script.watch = [view](int, grpc::ServerContext* context, ViewStream* stream) {
        return view->Watch(context, stream);
      };
    }
    script.submit = [this](auto* context, const v1::SubmitRequest& request, auto* reply) {
      return Take(context, request.transaction().gid(),
                  [&] { Commit(request.transaction().gid(), reply); });
    };
    script.begin = [this](auto* context, const v1::BeginRequest& request, auto*) {
      return Take(context, request.transaction().gid(), [] {});
    };
    script.execute = [this](auto* context, const v1::ExecuteBranchRequest& request, auto* reply) {
      return Take(context, request.gid(), [&] {
        reply->set_branch_id(request.branch().branch_id());
        reply->set_state(v1::DONE);
      });
    };
    script.commit = [this](auto* context, const v1::CommitRequest& request, auto* reply) {
      return Take(context, request.gid(), [&] { Commit(request.gid(), reply); });
    };
    script.wait = [this](auto* context, const v1::WaitRequest& request, auto* reply) {
      return Take(context, request.gid(), [&] { Commit(request.gid(), reply); });
    };
    script.submit_stream = [this](int, auto* context, SubmitStream* stream) {
      return Stream(context, stream);
    };
    server_.emplace(std::move(script));
  }

  std::string endpoint() const { return endpoint_.empty() ? server_->endpoint() : endpoint_; }
  // Its connections end, and nobody listens any more.
  void Die() {
    endpoint_ = server_->endpoint();
    server_.reset();
  }
  bool Saw(const std::string& gid) {
    const std::lock_guard lock(mutex_);
    return seen_.contains(gid);
  }
  std::size_t seen_count() {
    const std::lock_guard lock(mutex_);
    return seen_.size();
  }

 private:
  template <typename Answer>
  grpc::Status Take(grpc::ServerContext* context, const std::string& gid, const Answer& answer) {
    {
      const std::lock_guard lock(mutex_);
      seen_.insert(gid);
    }
    if (before_) {
      if (grpc::Status status = before_(context); !status.ok()) return status;
    }
    answer();
    return grpc::Status::OK;
  }
  grpc::Status Stream(grpc::ServerContext* context, SubmitStream* stream) {
    v1::SubmitRequestFrame requests;
    while (stream->Read(&requests)) {
      v1::SubmitReplyFrame replies;
      for (const v1::SubmitRequest& request : requests.requests()) {
        v1::SubmitReply* reply = replies.add_replies();
        reply->set_request_id(request.request_id());
        const grpc::Status status = Take(context, request.transaction().gid(),
                                         [&] { Commit(request.transaction().gid(), reply); });
        if (!status.ok()) return status;
      }
      stream->Write(replies);
    }
    return grpc::Status::OK;
  }

  const Before before_;
  std::mutex mutex_;
  std::multiset<std::string> seen_;
  std::string endpoint_;
  std::optional<FakeCoordinator> server_;
};

class ClientClusterTest : public ::testing::Test {
 protected:
  // a has slot 0, b slot 1.
  v1::ClusterView View(std::uint64_t version, const Coordinator& a, const Coordinator& b,
                       int owner0 = 1, int owner1 = 2) {
    return ViewOf(version, {a.endpoint(), b.endpoint()}, {owner0, owner1});
  }
  static std::string Gid(Slot slot) {
    static std::atomic<int> number{0};
    return GidOf(slot, 2, ++number);
  }
  // Until the client goes straight to `owner` with what is in `slot`.
  static bool Learned(const Client& client, Slot slot, Coordinator& owner) {
    return Eventually([&] {
      const std::string gid = Gid(slot);
      return client.Submit(Order(gid)).ok() && owner.Saw(gid);
    });
  }

  SharedView view_;
};

TEST_F(ClientClusterTest, OneEndpointSufficesForAllOfThem) {
  Coordinator a(&view_);
  Coordinator b(&view_);
  view_.Show(View(1, a, b));
  const Client client({.endpoint = a.endpoint()});
  EXPECT_TRUE(Learned(client, 1, b));
  EXPECT_TRUE(Learned(client, 0, a));
  const std::string gid = Gid(1);
  EXPECT_TRUE(client.Wait(gid)->committed());
  EXPECT_TRUE(b.Saw(gid));
  EXPECT_FALSE(a.Saw(gid));
}

TEST_F(ClientClusterTest, AMovedSlotIsFollowed) {
  Coordinator a(&view_);
  Coordinator b(&view_);
  view_.Show(View(1, a, b));
  const Client client({.endpoints = {a.endpoint(), b.endpoint()}});
  EXPECT_TRUE(Learned(client, 0, a));
  view_.Show(View(2, a, b, 2, 1));
  EXPECT_TRUE(Learned(client, 0, b));
  EXPECT_TRUE(Learned(client, 1, a));
}

// Every kind of call, by the moment at which its coordinator dies.
struct Kind {
  const char* name;
  std::function<Status(const Client&, const std::string&)> call;
};
class CallTest : public ClientClusterTest, public ::testing::WithParamInterface<Kind> {};

// The next call, once it is armed, is not answered as long as somebody waits for it.
struct HangsOnce {
  std::atomic<bool> armed{false};
  std::promise<void> arrived;
  grpc::Status operator()(grpc::ServerContext* context) {
    if (!armed.exchange(false)) return grpc::Status::OK;
    arrived.set_value();
    return Hang(context);
  }
};

TEST_P(CallTest, DeadBeforeTheRequest) {
  Coordinator a(&view_);
  Coordinator b(&view_);
  view_.Show(View(1, a, b));
  const Client client({.endpoint = a.endpoint()});
  ASSERT_TRUE(Learned(client, 1, b));
  b.Die();
  const std::string gid = Gid(1);
  EXPECT_TRUE(GetParam().call(client, gid).ok());
  EXPECT_TRUE(a.Saw(gid));
}

TEST_P(CallTest, DiesWithTheRequest) {
  HangsOnce hangs;
  Coordinator a(&view_);
  Coordinator b(&view_, std::ref(hangs));
  view_.Show(View(1, a, b));
  const Client client({.endpoint = a.endpoint()});
  ASSERT_TRUE(Learned(client, 1, b));
  hangs.armed = true;
  const std::string gid = Gid(1);
  auto answer = std::async(std::launch::async, [&] { return GetParam().call(client, gid); });
  hangs.arrived.get_future().wait();
  b.Die();
  EXPECT_TRUE(answer.get().ok());
  EXPECT_TRUE(b.Saw(gid));
  EXPECT_TRUE(a.Saw(gid));
}

// What it did is done; what it said is lost.
TEST_P(CallTest, DiesInTheAnswer) {
  std::atomic<bool> lose{false};
  Coordinator a(&view_);
  Coordinator b(&view_, [&](grpc::ServerContext* context) {
    if (!lose.exchange(false)) return grpc::Status::OK;
    context->TryCancel();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Connection reset by peer");
  });
  view_.Show(View(1, a, b));
  const Client client({.endpoint = a.endpoint()});
  ASSERT_TRUE(Learned(client, 1, b));
  lose = true;
  const std::string gid = Gid(1);
  EXPECT_TRUE(GetParam().call(client, gid).ok());
  EXPECT_TRUE(b.Saw(gid));
  EXPECT_TRUE(a.Saw(gid));
}

// It is stopped, its connection stands, and the others have taken its slots over.
TEST_P(CallTest, StopsWithTheRequest) {
  HangsOnce hangs;
  Coordinator a(&view_);
  Coordinator b(&view_, std::ref(hangs));
  view_.Show(View(1, a, b));
  const Client client({.endpoint = a.endpoint()});
  ASSERT_TRUE(Learned(client, 1, b));
  hangs.armed = true;
  const std::string gid = Gid(1);
  auto answer = std::async(std::launch::async, [&] { return GetParam().call(client, gid); });
  hangs.arrived.get_future().wait();
  view_.Show(ViewOf(2, {a.endpoint()}, {1, 1}));
  EXPECT_TRUE(answer.get().ok());
  EXPECT_TRUE(a.Saw(gid));
}

INSTANTIATE_TEST_SUITE_P(
    Calls, CallTest,
    ::testing::Values(
        Kind{"Submit", [](const Client& client,
                          const std::string& gid) { return client.Submit(Order(gid)).status(); }},
        Kind{"SubmitAsync",
             [](const Client& client, const std::string& gid) {
               std::promise<Status> done;
               client.SubmitAsync(Order(gid), [&](const Result<Report>& report) {
                 done.set_value(report.status());
               });
               return done.get_future().get();
             }},
        Kind{"Wait", [](const Client& client,
                        const std::string& gid) { return client.Wait(gid).status(); }},
        Kind{"BeginExecuteCommit",
             [](const Client& client, const std::string& gid) {
               auto order = client.Begin(Transaction().Gid(gid));
               if (!order.ok()) return order.status();
               if (auto stock = order->Tcc("inventory", "reserve"); !stock.ok())
                 return stock.status();
               return order->Commit().status();
             }}),
    [](const auto& kind) { return std::string(kind.param.name); });

// Execute and Commit by themselves: the coordinator dies under an open transaction.
TEST_F(ClientClusterTest, AnOpenTransactionGoesOnElsewhere) {
  Coordinator a(&view_);
  Coordinator b(&view_);
  view_.Show(View(1, a, b));
  const Client client({.endpoint = a.endpoint()});
  ASSERT_TRUE(Learned(client, 1, b));
  const std::string gid = Gid(1);
  auto order = client.Begin(Transaction().Gid(gid));
  ASSERT_TRUE(order.ok());
  EXPECT_FALSE(a.Saw(gid));
  b.Die();
  EXPECT_TRUE(order->Tcc("inventory", "reserve").ok());
  EXPECT_TRUE(order->Commit()->committed());
  EXPECT_TRUE(a.Saw(gid));
}

TEST_F(ClientClusterTest, AMovedAnswerNamesTheNextOneToAsk) {
  Coordinator b(nullptr);
  std::atomic<int> moved{0};
  Coordinator a(nullptr, [&](grpc::ServerContext* context) {
    ++moved;
    context->AddTrailingMetadata("assent-owner", b.endpoint());
    context->AddTrailingMetadata("assent-cluster-version", "3");
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "another coordinator has it");
  });
  int sleeps = 0;
  const Client client({.endpoint = a.endpoint(), .sleep = [&](auto) { ++sleeps; }});
  EXPECT_TRUE(client.Submit(Order("g1"))->committed());
  EXPECT_EQ(moved, 1);
  EXPECT_EQ(sleeps, 0);
  EXPECT_TRUE(b.Saw("g1"));
}

TEST_F(ClientClusterTest, AnOwnerThatIsNoAddressIsNotDialled) {
  Coordinator a(nullptr, [&](grpc::ServerContext* context) {
    context->AddTrailingMetadata("assent-owner", "http://elsewhere");
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "another coordinator has it");
  });
  const Client client({.endpoint = a.endpoint(), .retry = {.give_up_after = 100ms}});
  EXPECT_EQ(client.Submit(Order("g1")).status().code(), Code::kUnknownOutcome);
}

TEST_F(ClientClusterTest, MembersThatNobodyReachesCostOnlyTheTry) {
  Coordinator a(&view_);
  const std::string nobody = "127.0.0.1:" + std::to_string(testing::UnusedPort());
  view_.Show(ViewOf(1, {nobody, a.endpoint(), nobody}, {1, 3}));
  const Client client({.endpoint = a.endpoint()});
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(client.Submit(Order(Gid(0))).ok());
    EXPECT_TRUE(client.Submit(Order(Gid(1))).ok());
  }
}

TEST_F(ClientClusterTest, UnavailableOnlyIfNobodyCanHaveSeenIt) {
  const std::string nobody = "127.0.0.1:" + std::to_string(testing::UnusedPort());
  const std::string nobody_else = "127.0.0.1:" + std::to_string(testing::UnusedPort());
  const Client unseen({.endpoints = {nobody, nobody_else}, .retry = {.give_up_after = 200ms}});
  EXPECT_EQ(unseen.Submit(Order("g1")).status().code(), Code::kUnavailable);

  // One has seen it and died; that the others are not there is no comfort.
  Coordinator a(&view_, [](grpc::ServerContext* context) {
    context->TryCancel();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Connection reset by peer");
  });
  view_.Show(ViewOf(1, {nobody, a.endpoint()}, {2, 2}));
  const Client seen({.endpoints = {nobody, a.endpoint()}, .retry = {.give_up_after = 200ms}});
  EXPECT_EQ(seen.Submit(Order("g1")).status().code(), Code::kUnknownOutcome);
}

// Two daemons that share nothing, named together by mistake: what one may have done, the other must
// not do again.
TEST_F(ClientClusterTest, ACoordinatorThatIsAloneIsTheOnlyOneAsked) {
  for (const bool old_daemon : {false, true}) {
    SharedView alone;
    alone.Show(v1::ClusterView());
    std::atomic<bool> lose{false};
    Coordinator a(old_daemon ? nullptr : &alone, [&](grpc::ServerContext*) {
      return lose ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "lost") : grpc::Status::OK;
    });
    Coordinator b(old_daemon ? nullptr : &alone);
    const Client client(
        {.endpoints = {a.endpoint(), b.endpoint()}, .retry = {.give_up_after = 300ms}});
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(client.Submit(Order(Gid(0))).ok());
    lose = true;
    EXPECT_EQ(client.Submit(Order(Gid(0))).status().code(), Code::kUnknownOutcome);
    EXPECT_EQ(b.seen_count(), 0u);
    EXPECT_TRUE(Eventually([&] { return alone.watchers() == 0; }));
  }
}

TEST_F(ClientClusterTest, TheEnvironmentMayNameSeveral) {
  Coordinator a(&view_);
  view_.Show(ViewOf(1, {a.endpoint()}, {1, 1}));
  const std::string nobody = "127.0.0.1:" + std::to_string(testing::UnusedPort());
  setenv("ASSENT_ENDPOINT", (nobody + "," + a.endpoint()).c_str(), 1);
  const Client client;
  unsetenv("ASSENT_ENDPOINT");
  EXPECT_TRUE(client.Submit(Order("g1"))->committed());
}

// Many at once, while the coordinators die and come back one after the other: each is completed
// once, and committed.
TEST_F(ClientClusterTest, ManyInFlightSurviveCoordinatorsThatComeAndGo) {
  auto a = std::make_unique<Coordinator>(&view_);
  auto b = std::make_unique<Coordinator>(&view_);
  view_.Show(View(1, *a, *b));
  const Client client({.endpoints = {a->endpoint(), b->endpoint()}});
  constexpr int kCount = 4000;
  std::atomic<int> committed{0};
  std::atomic<int> completed{0};
  for (int i = 0; i < kCount; ++i) {
    if (i == kCount / 2) b->Die();
    client.SubmitAsync(Order(NewGid()), [&](const Result<Report>& report) {
      if (report.ok() && report->committed()) ++committed;
      ++completed;
    });
  }
  EXPECT_TRUE(Eventually([&] { return completed == kCount; }));
  EXPECT_EQ(committed, kCount);
}

}  // namespace
}  // namespace assent

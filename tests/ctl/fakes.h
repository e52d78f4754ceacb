#pragma once

// A scripted coordinator and a console in memory. Answers are taken in the order they were queued;
// a call without an answer fails the test by name. Every request is kept.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tools/assentctl/session.h"

namespace assent::ctl {

class FakeConsole final : public Console {
 public:
  void Out(std::string_view text) override { out += text; }
  void Err(std::string_view text) override { err += text; }
  std::optional<std::string> ReadLine() override {
    if (lines.empty()) return std::nullopt;
    std::string line = lines.front();
    lines.pop_front();
    return line;
  }
  Result<std::string> ReadFile(const std::string& path) override {
    const auto found = files.find(path);
    if (found == files.end()) return InvalidArgument("cannot read " + path);
    return found->second;
  }
  std::int64_t NowUnixMs() override { return now_unix_ms + uptime.count(); }
  std::chrono::milliseconds Uptime() override { return uptime; }
  bool Sleep(std::chrono::milliseconds time) override {
    uptime += time;
    return sleeps_left-- > 0;
  }

  std::unique_ptr<Page> TakePage() override {
    struct Fake final : Page {
      explicit Fake(FakeConsole& c) : console(c) { console.out += "(page)"; }
      ~Fake() override { console.out += "(left)"; }
      std::optional<char> ReadKey(std::chrono::milliseconds time) override {
        console.uptime += time;
        if (console.keys.empty()) return std::nullopt;
        const std::optional<char> key = console.keys.front();
        console.keys.pop_front();
        return key;
      }
      std::size_t Rows() const override { return 24; }
      FakeConsole& console;
    };
    return std::make_unique<Fake>(*this);
  }

  std::string out;
  std::string err;
  std::deque<std::optional<char>> keys;
  std::deque<std::string> lines;
  std::map<std::string, std::string> files;
  std::int64_t now_unix_ms = 1'800'000'000'000;
  std::chrono::milliseconds uptime{0};
  int sleeps_left = 1'000;
};

// What one Watch shows, and how it ends.
struct WatchScript {
  std::vector<v1::Transaction> sightings;
  Status end;
};

struct ClusterScript {
  std::vector<v1::ClusterView> sightings;
  Status end;
};

// What is heard of all coordinators, one after the other; nothing: for a while nothing is.
struct EventsScript {
  std::deque<std::optional<EventStreams::Heard>> heard;
  std::vector<std::pair<std::string, v1::EventsRequest>> opened;
  std::vector<std::string> closed;
};

class FakeService final : public Service {
 public:
  Result<v1::SubmitReply> Submit(const v1::SubmitRequest& request, Timeout) override {
    submitted.push_back(request);
    return Take(submit, "Submit");
  }
  Result<v1::Transaction> Get(const v1::GetRequest& request, Timeout) override {
    got.push_back(request.gid());
    asked.push_back(request);
    return Take(get, "Get");
  }
  Result<v1::ListReply> List(const v1::ListRequest& request, Timeout) override {
    listed.push_back(request);
    return Take(list, "List");
  }
  Result<v1::ListCausesReply> ListCauses(const v1::ListCausesRequest& request, Timeout) override {
    counted.push_back(request);
    return Take(causes, "ListCauses");
  }
  Status Watch(const v1::WatchRequest& request, Timeout timeout,
               const OnTransaction& each) override {
    watched.emplace_back(request.gid(), timeout);
    if (watch.empty()) {
      ADD_FAILURE() << "Watch was called once too often";
      return Internal("no script");
    }
    const WatchScript script = watch.front();
    watch.pop_front();
    for (const v1::Transaction& seen : script.sightings) {
      if (!each(seen)) return OkStatus();
    }
    return script.end;
  }
  Result<v1::OperatorReply> Operate(const OperatorRequest& request, Timeout) override {
    operated.push_back(request);
    return Take(operate, "Operate");
  }
  void OperateMany(std::size_t count, const std::function<OperatorRequest(std::size_t)>& make,
                   Timeout timeout, const OnOperated& each) override {
    for (std::size_t i = 0; i < count; ++i) {
      if (!each(i, Operate(make(i), timeout))) return;
    }
  }
  Result<v1::ListAuditReply> ListAudit(const v1::ListAuditRequest& request, Timeout) override {
    audited.push_back(request);
    return Take(audit, "ListAudit");
  }
  Result<v1::ListParticipantsReply> ListParticipants(const v1::ListParticipantsRequest&,
                                                     Timeout) override {
    return Take(participants, "ListParticipants");
  }
  Result<v1::ServerInfo> GetServerInfo(Timeout) override { return Take(info, "GetServerInfo"); }

  Result<v1::ClusterView> GetCluster(const v1::GetClusterRequest& request, Timeout) override {
    cluster_asked.push_back(request);
    return Take(cluster, "GetCluster");
  }
  Status WatchCluster(Timeout timeout, const OnCluster& each) override {
    if (cluster_watch.empty()) {
      ADD_FAILURE() << "WatchCluster was called once too often";
      return Internal("no script");
    }
    const ClusterScript script = cluster_watch.front();
    cluster_watch.pop_front();
    for (const v1::ClusterView& seen : script.sightings) {
      if (!each(seen)) return OkStatus();
    }
    if (script.end.code() == Code::kDeadlineExceeded && on_watched) on_watched(*timeout);
    return script.end;
  }
  Result<v1::ClusterReply> ChangeCluster(const ClusterRequest& request, Timeout) override {
    changed.push_back(request);
    return Take(change, "ChangeCluster");
  }
  std::unique_ptr<EventStreams> FollowEvents() override {
    struct Fake final : EventStreams {
      explicit Fake(FakeService& of) : service(of) {}
      void Open(const std::string& endpoint, const v1::EventsRequest& request) override {
        service.events.opened.emplace_back(endpoint, request);
      }
      void Close(const std::string& endpoint) override {
        service.events.closed.push_back(endpoint);
      }
      std::optional<Heard> Next(std::chrono::milliseconds patience) override {
        if (service.on_quiet && (service.events.heard.empty() || !service.events.heard.front()))
          service.on_quiet(patience);
        if (service.events.heard.empty()) return std::nullopt;
        std::optional<Heard> heard = std::move(service.events.heard.front());
        service.events.heard.pop_front();
        return heard;
      }
      FakeService& service;
    };
    return std::make_unique<Fake>(*this);
  }
  std::string Endpoint() const override { return "127.0.0.1:7400"; }

  std::deque<Result<v1::SubmitReply>> submit;
  std::deque<Result<v1::Transaction>> get;
  std::deque<Result<v1::ListReply>> list;
  std::deque<Result<v1::ListCausesReply>> causes;
  std::deque<WatchScript> watch;
  std::deque<Result<v1::OperatorReply>> operate;
  std::deque<Result<v1::ListAuditReply>> audit;
  std::deque<Result<v1::ListParticipantsReply>> participants;
  std::deque<Result<v1::ServerInfo>> info;
  std::deque<Result<v1::ClusterView>> cluster;
  std::deque<ClusterScript> cluster_watch;
  // A watch that ended with its time has taken it.
  std::function<void(std::chrono::milliseconds)> on_watched;
  std::deque<Result<v1::ClusterReply>> change;
  EventsScript events;
  // A look for events that heard nothing has taken so long.
  std::function<void(std::chrono::milliseconds)> on_quiet;

  std::vector<v1::SubmitRequest> submitted;
  std::vector<std::string> got;
  std::vector<v1::GetRequest> asked;
  std::vector<v1::ListRequest> listed;
  std::vector<v1::ListCausesRequest> counted;
  std::vector<v1::ListAuditRequest> audited;
  std::vector<std::pair<std::string, Timeout>> watched;
  std::vector<OperatorRequest> operated;
  std::vector<v1::GetClusterRequest> cluster_asked;
  std::vector<ClusterRequest> changed;

 private:
  template <typename T>
  Result<T> Take(std::deque<Result<T>>& answers, const char* name) {
    if (answers.empty()) {
      ADD_FAILURE() << name << " was called once too often";
      return Internal("no script");
    }
    Result<T> answer = std::move(answers.front());
    answers.pop_front();
    return answer;
  }
};

// A session with both; a test sets what differs and runs a command in it. All answers must have
// been used at the end.
class CommandTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_TRUE(service.submit.empty() && service.get.empty() && service.list.empty() &&
                service.causes.empty() && service.watch.empty() && service.operate.empty() &&
                service.participants.empty() && service.info.empty() && service.cluster.empty() &&
                service.cluster_watch.empty() && service.change.empty() &&
                service.events.heard.empty())
        << "some scripted answer was never asked for";
  }

  static v1::Transaction Transaction(const std::string& gid, v1::TransactionState state,
                                     v1::Decision decision = v1::DECISION_UNSPECIFIED,
                                     v1::Outcome outcome = v1::OUTCOME_UNSPECIFIED) {
    v1::Transaction transaction;
    transaction.set_gid(gid);
    transaction.set_state(state);
    transaction.set_decision(decision);
    transaction.set_outcome(outcome);
    transaction.set_began_unix_ms(1'799'999'990'000);
    if (decision != v1::DECISION_UNSPECIFIED) transaction.set_decided_unix_ms(1'799'999'990'020);
    if (state == v1::FINISHED) transaction.set_finished_unix_ms(1'799'999'990'038);
    return transaction;
  }
  static v1::Transaction Active(const std::string& gid) {
    v1::Transaction transaction = Transaction(gid, v1::ACTIVE);
    transaction.set_why_not_finished("branch 1 is on its way");
    return transaction;
  }
  static v1::Transaction Committed(const std::string& gid) {
    return Transaction(gid, v1::FINISHED, v1::DECISION_COMMIT, v1::COMMITTED);
  }
  static v1::Transaction Aborted(const std::string& gid) {
    v1::Transaction transaction = Transaction(gid, v1::FINISHED, v1::DECISION_ABORT, v1::ABORTED);
    transaction.set_abort_reason("branch 2 inventory/reserve refused: out of stock");
    return transaction;
  }
  static v1::OperatorReply Effect(const std::string& effect) {
    v1::OperatorReply reply;
    reply.set_effect(effect);
    return reply;
  }

  FakeService service;
  FakeConsole console;
  Session session{service, console, {}, {false, false, 0, true, "ann@desk"}};
};

}  // namespace assent::ctl

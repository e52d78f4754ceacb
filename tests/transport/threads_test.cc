// Hub, dialer and switchboard from many threads at once, for ThreadSanitizer: each command has one
// end, whatever breaks meanwhile.

#include <map>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "tests/transport/fake_carriers.h"

namespace assent::transport {
namespace {

constexpr int kSenders = 2;
constexpr int kCommandsEach = 2'000;
constexpr int kDials = 40;

// A participant that answers what it is asked, hangs up in the middle, and dials again.
void Participate(Exchange& exchange, std::vector<std::shared_ptr<FakeStream>>& streams) {
  for (int dial = 0; dial < kDials; ++dial) {
    auto stream = std::make_shared<FakeStream>();
    stream->sink = exchange.hub.OnStream(*stream, {"ipv4:10.0.0.1:5000"});
    streams.push_back(stream);
    if (!stream->Say(HelloFrame("s", 16))) continue;
    std::thread cancels([&] { stream->sink->OnClosed(); });
    if (dial % 2 == 0) cancels.join();
    for (int turn = 0; turn < 50; ++turn) {
      v1::ParticipantFrame answers;
      for (const auto& command : stream->Commands()) *answers.add_replies() = DoneReply(command);
      answers.add_queries()->set_gid("g");
      if (!stream->Say(answers)) break;
    }
    if (cancels.joinable()) cancels.join();
  }
}

void Call(FakeCaller& caller, const std::atomic<bool>& stop) {
  for (int turn = 0; !stop; ++turn) {
    for (const auto& call : caller.Calls()) caller.Answer(call);
    if (turn % 50 == 0) caller.Link(0, turn % 100 == 0);
    std::this_thread::yield();
  }
}

TEST(Threads, EachCommandHasOneEnd) {
  Exchange exchange;
  FakeCaller caller;
  std::vector<std::vector<std::shared_ptr<FakeStream>>> streams(2);
  std::atomic<bool> stop = false;
  {
    UnaryDialer dialer(caller, exchange.board, {16});
    dialer.Set("dialled", {Endpoint("a:1")});
    dialer.Open(7);
    std::vector<std::thread> threads;
    for (auto& mine : streams) threads.emplace_back([&] { Participate(exchange, mine); });
    std::thread calls([&] { Call(caller, stop); });
    for (int sender = 0; sender < kSenders; ++sender) {
      threads.emplace_back([&, sender] {
        for (int i = 0; i < kCommandsEach; ++i) {
          const std::string gid = std::to_string(sender) + "-" + std::to_string(i);
          exchange.Send(TryCommand(gid, i % 2 == 0 ? "s" : "dialled"));
          if (i % 100 == 0) (void)exchange.board.List("");
        }
      });
    }
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        exchange.board.Tick();
        exchange.hub.Tick();
        (void)exchange.board.counters();
      }
    });
    for (std::thread& thread : threads) thread.join();
    stop = true;
    calls.join();
    exchange.hub.Close();
    caller.Link(
        0, false);  // what waits for it comes back; what is under way is ended by the dialer's end
  }
  std::map<std::string, int> ends;
  for (const Reply& reply : exchange.engine.Replies()) ++ends[reply.gid];
  EXPECT_EQ(ends.size(), static_cast<std::size_t>(kSenders * kCommandsEach));
  for (const auto& [gid, count] : ends) EXPECT_EQ(count, 1) << gid;
  EXPECT_EQ(exchange.board.session_count(), 0U);
  EXPECT_EQ(exchange.hub.silent_count(), 0U);
}

// News that a service appeared never comes before a reply which says that it is absent: who waits
// for it would wait for ever.
TEST(Threads, AbsenceIsToldBeforeItsEnd) {
  struct Watcher final : Receiver {
    void OnReplies(std::vector<Reply> replies) override {
      const MutexLock lock(mutex);
      for (const Reply& reply : replies) {
        if (reply.service_absent) parked.insert(reply.gid);
      }
    }
    void OnServiceAppeared(const std::string&) override {
      const MutexLock lock(mutex);
      parked.clear();
    }
    void OnQuestion(OutcomeQuestion, std::function<void(OutcomeAnswer)>) override {}
    Mutex mutex;
    std::set<std::string> parked ASSENT_GUARDED_BY(mutex);
  };
  for (int round = 0; round < 200; ++round) {
    Watcher watcher;
    FakeClock clock;
    Switchboard board({}, watcher, clock);
    SessionHub hub({}, board);
    hub.Open(7, 1);
    FakeStream stream;
    stream.sink = hub.OnStream(stream, {"ipv4:10.0.0.1:5000"});
    std::thread joins([&] { stream.Say(HelloFrame("s")); });
    for (int i = 0; i < 20; ++i) {
      std::vector<Command> commands;
      commands.push_back(TryCommand(std::to_string(i)));
      board.Send(std::move(commands));
    }
    joins.join();
    {
      const MutexLock lock(watcher.mutex);
      EXPECT_TRUE(watcher.parked.empty()) << "it is there, and somebody waits for it";
    }
    hub.Close();
  }
}

}  // namespace
}  // namespace assent::transport

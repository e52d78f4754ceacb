// The log of one member, called: which lane does what, what people ask for, and what it says when
// the database does not answer.

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/thread_safety.h>

#include "coordinator/log/postgresql/postgres_log.h"
#include "tests/log/log_rig.h"
#include "tests/support/postgresql.h"
#include "tests/support/process.h"

namespace assent::log {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using test::PostgresServer;
using test::WaitUntil;
using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr Slot kSlots = 12;
constexpr auto kPatience = 60s;

// A member whose engine does nothing but keep count.
class Member final : public SlotEvents {
 public:
  Member(const std::string& url, const std::string& node,
         std::chrono::milliseconds patience = 15s) {
    PostgresLogOptions options;
    options.connection.url = url;
    options.schema.slots_count = kSlots;
    options.node = node;
    options.address = node + ":7400";
    options.lanes_count = 3;
    options.start_patience = patience;
    options.close_patience = 300ms;
    options.on_poisoned = [this](const Status&) { ++poisoned; };
    options.on_fenced = [this](const Status&) {
      if (on_telling) on_telling();
      ++fenced;
    };
    options.on_regressed = [this](const Status&) { ++regressed; };
    options.on_view = [this](cluster::ViewPtr seen) {
      const MutexLock lock(mutex_);
      view_ = std::move(seen);
    };
    options.on_fence = [this](const std::string& victim, cluster::MemberStore::Fenced,
                              const std::string& asked_by) {
      const MutexLock lock(mutex_);
      fences_.push_back(victim + " " + asked_by);
    };
    log = std::make_unique<PostgresLog>(std::move(options));
  }

  ~Member() override { log.reset(); }

  Status Start() {
    Result<Joined> joined_now = log->Join(*this);
    if (!joined_now.ok()) return joined_now.status();
    joined = *std::move(joined_now);
    std::vector<Slot> slots;
    for (const SlotGrant& grant : joined.slots) slots.push_back(grant.slot);
    Load(slots);
    log->StartEvents();
    return OkStatus();
  }
  void Load(const std::vector<Slot>& slots) {
    std::promise<Loaded> done;
    log->Load(
        slots,
        [this](const LiveRow& row) {
          rows.push_back(row.gid);
          return OkStatus();
        },
        [&](Loaded loaded) { done.set_value(std::move(loaded)); });
    EXPECT_TRUE(done.get_future().get().status.ok());
  }
  Entry NewIn(Slot slot) {
    Entry entry = log::Begin(log->NextSerial(slot), "");
    for (int n = 0; n == 0 || SlotOf(entry.gid, kSlots) != slot; ++n)
      entry.gid = std::to_string(entry.serial) + "." + std::to_string(n);
    entry.slot = slot;
    return entry;
  }
  std::string Begin(Slot slot) {
    Entry entry = NewIn(slot);
    const std::string gid = entry.gid;
    std::promise<AppendResult> done;
    log->Append(Batch(std::move(entry)), [&](AppendResult result) { done.set_value(result); });
    EXPECT_TRUE(done.get_future().get().status.ok());
    return gid;
  }
  Found Find(const std::string& gid) {
    std::promise<Result<Found>> done;
    log->Find(gid, [&](Result<Found> found) { done.set_value(std::move(found)); });
    Result<Found> found = done.get_future().get();
    EXPECT_TRUE(found.ok()) << found.status().ToString();
    return found.ok() ? *std::move(found) : Found{};
  }
  Status Ask(
      const std::function<void(cluster::ClusterControl&, cluster::ClusterControl::Done)>& ask) {
    std::promise<Status> done;
    ask(log->control(), [&](const Status& status) { done.set_value(status); });
    return done.get_future().get();
  }
  cluster::ViewPtr view() {
    const MutexLock lock(mutex_);
    return view_;
  }
  std::vector<std::string> fences() {
    const MutexLock lock(mutex_);
    return fences_;
  }
  std::vector<Slot> assigned() {
    const MutexLock lock(mutex_);
    return assigned_;
  }
  std::vector<Slot> wanted() {
    const MutexLock lock(mutex_);
    return wanted_;
  }

  std::function<void()> on_telling;  // that it is fenced
  std::function<void(const std::vector<SlotGrant>&)> on_assigned;
  std::unique_ptr<PostgresLog> log;
  Joined joined;
  std::vector<std::string> rows;  // that a Load has visited
  std::atomic<int> poisoned = 0;
  std::atomic<int> fenced = 0;
  std::atomic<int> regressed = 0;
  std::atomic<int> told_fenced = 0;

 private:
  void OnAssigned(const std::vector<SlotGrant>& grants) override {
    if (on_assigned) on_assigned(grants);
    const MutexLock lock(mutex_);
    for (const SlotGrant& grant : grants) assigned_.push_back(grant.slot);
  }
  void OnWanted(const std::vector<Slot>& slots) override {
    const MutexLock lock(mutex_);
    wanted_.insert(wanted_.end(), slots.begin(), slots.end());
  }
  void OnFenced(const Status&) override {
    EXPECT_EQ(fenced, 1) << "the process ends first";
    ++told_fenced;
  }

  Mutex mutex_;
  cluster::ViewPtr view_ ASSENT_GUARDED_BY(mutex_);
  std::vector<std::string> fences_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Slot> assigned_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Slot> wanted_ ASSENT_GUARDED_BY(mutex_);
};

class PostgresLogCalls : public testing::Test {
 protected:
  // To each lane of a newcomer, before its first connection.
  void OnNewLane(const std::string& what) {
    server_.Sql(database_,
                "CREATE FUNCTION on_lane() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + what +
                    " END $$; CREATE TRIGGER on_lane BEFORE INSERT ON assent.lane FOR EACH ROW "
                    "EXECUTE FUNCTION on_lane()");
  }
  PostgresServer& server_ = PostgresServer::OfThisBinary();
  const std::string database_ = server_.NewDatabase();
  const std::string url_ = server_.Url(database_);
};

// A start that others fenced before its lanes were open ended as if somebody else had the log (73),
// one whose lanes a fail-over had lost as damaged (65).
TEST_F(PostgresLogCalls, AStartThatIsFencedOnItsWayIsFenced) {
  Member first(url_, "a");
  ASSERT_TRUE(first.Start().ok());
  OnNewLane("NEW.fenced := true; RETURN NEW;");
  Member second(url_, "b");
  EXPECT_FALSE(second.Start().ok());
  EXPECT_EQ(second.fenced, 1);
}

// A second lane told the engine of its group while the first one still asked who had fenced it: the
// process ended with 74, as of a disk that fails.
TEST_F(PostgresLogCalls, NobodyIsAnsweredBeforeItIsSaidWhy) {
  std::atomic<int> answered = 0;
  Member a(url_, "a");
  a.on_telling = [&] { EXPECT_FALSE(WaitUntil([&] { return answered > 0; }, 1s)); };
  ASSERT_TRUE(a.Start().ok());
  server_.Sql(database_, "UPDATE assent.lane SET fenced = true");
  for (Slot slot = 0; slot < 3; ++slot)
    a.log->Append(Batch(a.NewIn(slot)), [&](const AppendResult&) { ++answered; });
  EXPECT_TRUE(WaitUntil([&] { return answered == 3; }, kPatience));
  EXPECT_EQ(a.fenced, 1);
}

TEST_F(PostgresLogCalls, AStartWhoseLanesAreLostHasSeenALoss) {
  Member first(url_, "a");
  ASSERT_TRUE(first.Start().ok());
  OnNewLane("RETURN NULL;");
  Member second(url_, "b");
  EXPECT_FALSE(second.Start().ok());
  EXPECT_EQ(second.regressed, 1);
  EXPECT_EQ(second.fenced, 0);
}

TEST_F(PostgresLogCalls, EachSlotHasALaneAndALoadHasAll) {
  std::vector<std::string> gids;
  {
    Member a(url_, "a");
    ASSERT_TRUE(a.Start().ok());
    EXPECT_EQ(a.joined.slots_count, kSlots);
    EXPECT_THAT(a.joined.slots, SizeIs(kSlots));
    for (Slot slot = 0; slot < kSlots; ++slot) gids.push_back(a.Begin(slot));
    EXPECT_EQ(a.Find(gids[5]).owner, a.joined.epoch);
    EXPECT_EQ(a.Find("nobody").what, Found::What::kAbsent);
    EXPECT_EQ(a.log->GetStats().records, kSlots);
    EXPECT_GT(a.log->GetStats().answered_boot_ms, 0);
    EXPECT_FALSE(a.log->GetStats().away);
  }
  EXPECT_EQ(server_.Sql(database_, "SELECT count(*) FROM assent.lane"), "3");
  Member again(url_, "a");
  ASSERT_TRUE(again.Start().ok());
  EXPECT_THAT(again.joined.slots, SizeIs(kSlots)) << "what it left is there for whoever comes";
  EXPECT_THAT(again.rows, testing::UnorderedElementsAreArray(gids));
  EXPECT_EQ(again.fenced + again.poisoned, 0);
}

// The clock of whoever had its slots was two hours ahead, and serials only rise.
TEST_F(PostgresLogCalls, ClocksMayBeHoursApart) {
  {
    Member ahead(url_, "a");
    ASSERT_TRUE(ahead.Start().ok());
  }
  server_.Sql(database_,
              "UPDATE assent.member SET serial_limit_ms = serial_limit_ms + 7200000;"
              "UPDATE assent.slot SET serial_floor_ms = serial_floor_ms + 7200000");
  const std::int64_t floor_ms =
      std::stoll(server_.Sql(database_, "SELECT max(serial_limit_ms) FROM assent.member"));
  Member a(url_, "a");
  ASSERT_TRUE(a.Start().ok());
  ASSERT_TRUE(WaitUntil([&] { return a.log->NextSerial(3) != 0; }, kPatience));
  EXPECT_GE(MsOfSerial(a.log->NextSerial(4)), floor_ms);
  a.Begin(4);
}

TEST_F(PostgresLogCalls, ADatabaseThatIsNotThereIsSaidToBe) {
  const auto port = test::FreePort();
  Member a("postgresql://assent@127.0.0.1:" + std::to_string(port) + "/x", "a", 300ms);
  const Status status = a.Start();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("127.0.0.1:" + std::to_string(port)));
  // What trying again does not mend is said at once.
  Member b(server_.Url("nowhere"), "b", std::chrono::hours(1));
  EXPECT_EQ(b.Start().code(), Code::kNotFound);
}

TEST_F(PostgresLogCalls, AwayIsSaidWhileItLasts) {
  Member a(url_, "a");
  ASSERT_TRUE(a.Start().ok());
  server_.Kill();
  EXPECT_TRUE(WaitUntil([&] { return a.log->GetStats().away; }, kPatience));
  ASSERT_TRUE(server_.Start().ok());
  EXPECT_TRUE(WaitUntil([&] { return !a.log->GetStats().away; }, kPatience));
  (void)a.Begin(3);
  EXPECT_EQ(a.fenced + a.poisoned + a.regressed, 0);
}

// Who ends it has said how long it may take; and nothing has failed.
TEST_F(PostgresLogCalls, AnEndWithoutDatabaseIsBounded) {
  auto a = std::make_unique<Member>(url_, "a");
  ASSERT_TRUE(a->Start().ok());
  server_.Kill();
  EXPECT_TRUE(WaitUntil([&] { return a->log->GetStats().away; }, kPatience));
  std::atomic<int> answers = 0;
  Entry entry = Begin(a->log->NextSerial(0), "");
  for (int n = 0; n == 0 || SlotOf(entry.gid, kSlots) != 0; ++n) entry.gid = std::to_string(n);
  a->log->Append(Batch(std::move(entry)), [&](const AppendResult& result) {
    EXPECT_EQ(result.status.code(), Code::kUnknownOutcome);
    ++answers;
  });
  a->log.reset();
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(a->fenced + a->poisoned + a->regressed, 0);
  ASSERT_TRUE(server_.Start().ok());
}

TEST_F(PostgresLogCalls, WhatPeopleAskFor) {
  Member a(url_, "a");
  ASSERT_TRUE(a.Start().ok());
  Member b(url_, "b");
  ASSERT_TRUE(b.Start().ok());
  EXPECT_TRUE(WaitUntil([&] { return a.view() && a.view()->members.size() == 2; }, kPatience));
  EXPECT_EQ(a.view()->members[1].address, "b:7400");
  // b asks for its share; a lets go of one slot only.
  EXPECT_TRUE(WaitUntil([&] { return a.wanted().size() == kSlots / 2; }, kPatience));
  const Slot slot = a.wanted().front();
  const std::string gid = a.Begin(slot);
  std::promise<Status> released;
  a.log->Release(slot, [&](const Status& status) { released.set_value(status); });
  EXPECT_TRUE(released.get_future().get().ok());
  EXPECT_TRUE(WaitUntil([&] { return b.assigned() == std::vector<Slot>{slot}; }, kPatience));
  b.Load({slot});
  EXPECT_THAT(b.rows, testing::ElementsAre(gid));
  EXPECT_EQ(a.Find(gid).owner, b.joined.epoch);

  EXPECT_TRUE(b.Ask([&](auto& control, auto done) { control.Move({slot}, "a", {}, done); }).ok());
  EXPECT_TRUE(WaitUntil([&] { return b.wanted() == std::vector<Slot>{slot}; }, kPatience));
  EXPECT_EQ(b.Ask([&](auto& control, auto done) { control.Move({slot}, "x", {}, done); }).code(),
            Code::kNotFound);
  EXPECT_TRUE(
      a.Ask([&](auto& control, auto done) { control.SetDraining("b", true, {}, done); }).ok());
  EXPECT_TRUE(WaitUntil([&] { return a.view()->Find(b.joined.epoch)->draining; }, kPatience));
  EXPECT_EQ(
      a.Ask([&](auto& control, auto done) { control.SetDraining("a", true, {}, done); }).code(),
      Code::kFailedPrecondition);

  EXPECT_TRUE(a.Ask([&](auto& control, auto done) {
                 control.Fence("b", {.who = "carol", .reason = "it is on fire"}, done);
               }).ok());
  EXPECT_TRUE(WaitUntil([&] { return b.told_fenced == 1; }, kPatience));
  EXPECT_EQ(b.fenced, 1);
  EXPECT_THAT(a.fences(), Contains("b carol: it is on fire"));
  EXPECT_TRUE(WaitUntil([&] { return !a.assigned().empty(); }, kPatience));
  EXPECT_EQ(a.fenced + a.poisoned + b.poisoned, 0);
}

// A quick restart gave slots on at once, whose serials began behind the limit of the start before:
// for up to a beat nothing could begin in them.
TEST_F(PostgresLogCalls, WhatIsTakenHasSerialsAtOnce) {
  Member a(url_, "a");
  ASSERT_TRUE(a.Start().ok());
  std::atomic<int> without = 0;
  std::atomic<int> taken = 0;
  Member b(url_, "b");
  // Also while it is being destroyed.
  b.on_assigned = [&without, &taken, log = b.log.get()](const std::vector<SlotGrant>& grants) {
    for (const SlotGrant& grant : grants) {
      ++taken;
      if (log->NextSerial(grant.slot) == 0) ++without;
    }
  };
  ASSERT_TRUE(b.Start().ok());
  EXPECT_TRUE(WaitUntil([&] { return !a.wanted().empty(); }, kPatience));
  server_.Sql(database_,
              "UPDATE assent.slot SET owner = wanted, wanted = 0, slot_epoch ="
              " slot_epoch + 1, serial_floor_ms = (SELECT max(serial_limit_ms) + 20000"
              " FROM assent.member) WHERE wanted <> 0");
  EXPECT_TRUE(WaitUntil([&] { return taken > 0; }, kPatience));
  EXPECT_EQ(without, 0);
}

// The line to it is broken, and it shows itself no more: that is noticed in less than the lease.
TEST_F(PostgresLogCalls, ABrokenLineIsTakenIntoAccount) {
  Member a(url_, "a");
  ASSERT_TRUE(a.Start().ok());
  Member b(url_, "b");
  ASSERT_TRUE(b.Start().ok());
  EXPECT_TRUE(WaitUntil([&] { return a.view() && a.view()->members.size() == 2; }, kPatience));
  a.log->OnLine(b.joined.epoch, /*broken=*/true);
  // It lives, and shows it.
  const std::uint64_t beat = a.view()->Find(b.joined.epoch)->beat;
  EXPECT_TRUE(
      WaitUntil([&] { return a.view()->Find(b.joined.epoch)->beat > beat + 4; }, kPatience));
  EXPECT_EQ(b.fenced, 0);
}

}  // namespace
}  // namespace assent::log

// The code that docs/sdk.md shows, compiled and run. What lies between "snippet: NAME" and "end" is
// quoted there word for word; tests/docs/check_snippets.py says so.

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <gtest/gtest.h>

#include <assent/client.h>
#include <assent/mock_connection.h>
#include <assent/participant.h>
#include <assent/testkit.h>

namespace {

using std::chrono_literals::operator""s;

// snippet: handlers
// Seats of one cinema, kept in memory to fit on a screen. `answers_` is this service's barrier:
// each operation of a transaction happens once, and a repeat gets the first answer.
class Seats {
 public:
  assent::Reply Hold(const assent::Call& call) {
    return Once(call, [&](std::string& seat) {
      if (!seat.empty()) return assent::Reply::Refused("cancelled before it came");
      seat = "held";
      return assent::Reply::Done(call.payload);  // the result: what the initiator gets to see
    });
  }
  assent::Reply Sell(const assent::Call& call) {
    return Once(call, [&](std::string& seat) {
      if (seat != "held") return assent::Reply::Refused("nothing is held");
      seat = "sold";
      return assent::Reply::Done();
    });
  }
  assent::Reply Free(const assent::Call& call) {
    return Once(call, [&](std::string& seat) {
      if (seat == "sold") return assent::Reply::Refused("it is sold");
      seat = "free";  // also when nothing was held: a late try will find it
      return assent::Reply::Done();
    });
  }
  std::string operator[](const std::string& gid) {
    const std::lock_guard lock(mutex_);
    return seats_[gid];
  }

 private:
  template <typename Change>
  assent::Reply Once(const assent::Call& call, const Change& change) {
    const std::lock_guard lock(mutex_);
    const auto [answer, first] = answers_.try_emplace({call.gid, call.operation});
    if (first) answer->second = change(seats_[call.gid]);
    return answer->second;
  }

  std::mutex mutex_;
  std::map<std::string, std::string> seats_;
  std::map<std::pair<std::string, assent::Operation>, assent::Reply> answers_;
};
// end

// snippet: participant
void Register(assent::Participant& cinema, Seats& seats) {
  cinema.Tcc("seat", {.try_ = [&](const assent::Call& call) { return seats.Hold(call); },
                      .confirm = [&](const assent::Call& call) { return seats.Sell(call); },
                      .cancel = [&](const assent::Call& call) { return seats.Free(call); }});
}

int ServeUntilSignal(Seats& seats) {
  assent::Participant cinema({.service = "cinema"});
  Register(cinema, seats);
  const assent::Status status = cinema.Run();  // until SIGTERM or SIGINT
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
// end

// snippet: submit
enum class Evening { kBooked, kNotBooked, kAskAgain };

Evening Book(const assent::Client& client, const assent::Transaction& evening) {
  const auto report = client.Submit(evening);
  if (report.ok()) {
    if (!report->committed()) std::printf("no: %s\n", report->abort_reason.c_str());
    return report->committed() ? Evening::kBooked : Evening::kNotBooked;
  }
  switch (report.status().code()) {
    case assent::Code::kUnknownOutcome:  // the same object, now or later
    case assent::Code::kUnavailable:     // nothing sent; but perhaps it was, the last time we asked
    case assent::Code::kResourceExhausted: return Evening::kAskAgain;
    default: std::printf("%s\n", report.status().ToString().c_str()); return Evening::kNotBooked;
  }
}

assent::Transaction Dinner(const std::string& row) {
  assent::Transaction evening;
  evening.Tcc("cinema", "seat", row)
      .Tcc("restaurant", "table", "two at eight")
      .Label("customer", "Ada")
      .Deadline(5s);
  return evening;
}
// end

// snippet: saga
assent::Transaction Trip() {
  assent::Transaction trip;
  trip.Saga("flights", "book", "BER-LIS", {.id = "flight"})
      .Saga("hotels", "book", "3 nights", {.id = "hotel"})
      // From here on there is no way back: what follows is tried until it succeeds.
      .Saga("cards", "charge", "600 EUR", {.id = "charge", .pivot = true})
      // Runs after the charge, and is handed its result.
      .Saga("mail", "send", "Ada", {.id = "mail", .after = {"charge"}, .receive_results = true});
  return trip;
}
// end

// snippet: interactive
assent::Status BookCheaply(const assent::Client& client, int limit) {
  auto trip = client.Begin();
  if (!trip.ok()) return trip.status();
  auto seat = trip->Tcc("cinema", "seat", "row 7");
  if (!seat.ok()) return seat.status();  // `trip` goes, and is rolled back
  if (seat->refused)
    return assent::OkStatus();                // sold out: the coordinator is rolling back already
  if (limit < 10) return assent::OkStatus();  // we do not want it: rolled back on the way out
  auto report = trip->Commit();
  return report.ok() ? assent::OkStatus() : report.status();
}
// end

// snippet: async
void SubmitMany(const assent::Client& client, int count, std::function<void(bool committed)> done) {
  for (int i = 0; i < count; ++i) {
    assent::Transaction evening;
    evening.Tcc("cinema", "seat", "row " + std::to_string(i));
    client.SubmitAsync(evening, [done](const assent::Result<assent::Report>& report) {
      done(report.ok() && report->committed());  // on a thread of the SDK: do not block here
    });
  }
}
// end

// snippet: testkit
TEST(CinemaTest, AnEveningSurvivesWhatNetworksDo) {
  Seats seats;
  assent::Participant cinema({.service = "cinema"});  // not started: nothing is dialled
  Register(cinema, seats);
  assent::testkit::Coordinator kit;
  kit.Serve(cinema);

  assent::Transaction evening;
  evening.Tcc("cinema", "seat", "row 7");
  kit.LoseNext(assent::Operation::kTry,
               assent::testkit::Loss::kReply);               // it happened, and nobody heard
  kit.CrashAt(assent::testkit::CrashPoint::kAfterDecision);  // decided, and nobody told
  EXPECT_EQ(kit.client().Submit(evening).status().code(), assent::Code::kUnknownOutcome);
  kit.Restart();
  EXPECT_TRUE(kit.client().Submit(evening)->committed());  // the same object: the same transaction
  EXPECT_EQ(seats[evening.gid()], "sold");
  EXPECT_TRUE(kit.violations().empty());
}
// end

// snippet: contract
TEST(CinemaTest, KeepsTheContract) {
  Seats seats;
  assent::Participant cinema({.service = "cinema"});
  Register(cinema, seats);
  const auto report = assent::testkit::CheckContract(
      cinema.AsResource(),
      {.action = "seat", .protocol = assent::Protocol::kTcc, .payload = "row 7"});
  EXPECT_TRUE(report.ok()) << report.ToString();
}
// end

// snippet: mock
TEST(BookTest, AnUnknownOutcomeIsAskedAgain) {
  const auto mock = std::make_shared<assent::MockConnection>();
  EXPECT_CALL(*mock, Submit)
      .WillOnce(testing::Return(assent::UnknownOutcome("the connection broke")))
      .WillOnce(testing::Return(assent::Report{.outcome = assent::Outcome::kCommitted}));
  const assent::Client client(mock);
  const assent::Transaction evening = Dinner("row 7");
  EXPECT_EQ(Book(client, evening), Evening::kAskAgain);
  EXPECT_EQ(Book(client, evening), Evening::kBooked);
}
// end

// What the page shows but does not run, run.
class SnippetTest : public testing::Test {
 protected:
  SnippetTest() {
    Register(cinema_, cinema_seats_);
    kit_.Serve(cinema_).Serve("restaurant", cinema_.AsResource());
  }
  Seats cinema_seats_;
  assent::Participant cinema_{{.service = "cinema"}};
  assent::testkit::Coordinator kit_;
};

TEST_F(SnippetTest, ATableThatNobodyOffersAbortsTheEvening) {
  const assent::Transaction evening = Dinner("row 7");
  EXPECT_EQ(Book(kit_.client(), evening), Evening::kNotBooked);
  EXPECT_EQ(cinema_seats_[evening.gid()], "free");
}

TEST_F(SnippetTest, InteractiveAndAsync) {
  EXPECT_TRUE(BookCheaply(kit_.client(), 5).ok());
  EXPECT_TRUE(BookCheaply(kit_.client(), 15).ok());
  int committed = 0;
  SubmitMany(kit_.client(), 10, [&](bool ok) { committed += ok ? 1 : 0; });
  EXPECT_EQ(committed, 10);
  EXPECT_TRUE(kit_.violations().empty());
}

TEST_F(SnippetTest, TheTripIsWellFormed) { EXPECT_TRUE(Trip().Validate().ok()); }

TEST_F(SnippetTest, RunSaysWhatIsWrong) {
  assent::Participant nothing({.service = "nothing"});
  EXPECT_FALSE(nothing.Run().ok());
  EXPECT_NE(&ServeUntilSignal, nullptr);
}

}  // namespace

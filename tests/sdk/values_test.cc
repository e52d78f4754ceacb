// Gids, names, limits, texts, and what becomes of a handler's answer on the wire.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/limits.h>
#include <assent/transaction.h>

#include "assent/v1/participant.pb.h"
#include "participant-sdk/cpp/src/endpoint.h"
#include "participant-sdk/cpp/src/text.h"
#include "participant-sdk/cpp/src/wire.h"

namespace assent {
namespace {

using ::testing::HasSubstr;

TEST(GidTest, IsTimeOrderedUniqueAndWithinItsGrammar) {
  std::set<std::string> seen;
  std::string last_time;
  for (int i = 0; i < 10'000; ++i) {
    const std::string gid = NewGid();
    ASSERT_EQ(gid.size(), 32u);
    ASSERT_EQ(gid.find_first_not_of("0123456789abcdef"), std::string::npos);
    ASSERT_TRUE(seen.insert(gid).second);
    ASSERT_LE(last_time, gid.substr(0, 12));
    last_time = gid.substr(0, 12);
  }
}

Transaction Valid() { return Transaction().Tcc("inventory", "reserve", "x"); }

TEST(TransactionTest, KeepsItsIdentity) {
  const Transaction order = Valid();
  const Transaction copy = order;
  EXPECT_EQ(order.gid(), copy.gid());
  EXPECT_NE(Valid().gid(), order.gid());
  EXPECT_TRUE(order.Validate().ok());
}

// Each limit: what is just inside, and just outside, and the words the refusal must hold.
struct LimitCase {
  const char* name;
  std::function<Transaction(std::size_t)> make;
  std::size_t inside;
  std::string words;
};

class LimitTest : public ::testing::TestWithParam<LimitCase> {};

TEST_P(LimitTest, InsideIsTakenOutsideIsNamed) {
  const LimitCase& c = GetParam();
  const Status inside = c.make(c.inside).Validate();
  EXPECT_TRUE(inside.ok()) << inside.ToString();
  const Status outside = c.make(c.inside + 1).Validate();
  EXPECT_EQ(outside.code(), Code::kInvalidArgument);
  EXPECT_THAT(outside.message(), HasSubstr(c.words));
}

std::string Letters(std::size_t count) { return std::string(count, 'a'); }

INSTANTIATE_TEST_SUITE_P(
    Each, LimitTest,
    ::testing::Values(
        LimitCase{"gid", [](std::size_t n) { return Valid().Gid(Letters(n)); },
                  limits::kMaxGidBytes, "gid has 65"},
        LimitCase{"service", [](std::size_t n) { return Transaction().Tcc(Letters(n), "a"); },
                  limits::kMaxServiceNameBytes, "branches[0].service"},
        LimitCase{"action", [](std::size_t n) { return Transaction().Tcc("s", Letters(n)); },
                  limits::kMaxActionNameBytes, "branches[0].action"},
        LimitCase{"id",
                  [](std::size_t n) { return Transaction().Tcc("s", "a", {}, {.id = Letters(n)}); },
                  limits::kMaxBranchIdBytes, "branches[0].id"},
        LimitCase{"payload", [](std::size_t n) { return Transaction().Tcc("s", "a", Letters(n)); },
                  limits::kMaxPayloadBytes, "branches[0].payload"},
        LimitCase{"all_payloads",
                  [](std::size_t n) {
                    return Transaction()
                        .Tcc("s", "a", Letters(limits::kMaxPayloadBytes))
                        .Tcc("s", "a", Letters(limits::kMaxPayloadBytes))
                        .Tcc("s", "a", Letters(n - 2 * limits::kMaxPayloadBytes - 1))
                        .Tcc("s", "a", "x");
                  },
                  limits::kMaxTransactionBytes, "together"},
        LimitCase{"branches",
                  [](std::size_t n) {
                    Transaction made;
                    for (std::size_t i = 0; i < n; ++i) made.Tcc("s", "a");
                    return made;
                  },
                  limits::kMaxBranchesCount, "branches has 129"},
        LimitCase{"labels",
                  [](std::size_t n) {
                    Transaction made = Valid();
                    for (std::size_t i = 0; i < n; ++i) made.Label(Letters(i + 1), "v");
                    return made;
                  },
                  limits::kMaxLabelsCount, "labels has 17"},
        LimitCase{"label_key", [](std::size_t n) { return Valid().Label(Letters(n), "v"); },
                  limits::kMaxLabelKeyBytes, "labels key"},
        LimitCase{"label_value", [](std::size_t n) { return Valid().Label("k", Letters(n)); },
                  limits::kMaxLabelValueBytes, "labels value of 'k'"},
        LimitCase{"tracestate",
                  [](std::size_t n) {
                    return Valid().Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                         Letters(n));
                  },
                  limits::kMaxTracestateBytes, "tracestate has 513"},
        LimitCase{"header_value",
                  [](std::size_t n) {
                    return Transaction().Tcc("s", "a", {}, {.headers = {{"k", Letters(n)}}});
                  },
                  limits::kMaxHeaderValueBytes, "branches[0].headers value"},
        LimitCase{"deadline",
                  [](std::size_t n) { return Valid().Deadline(std::chrono::milliseconds(n)); },
                  static_cast<std::size_t>(limits::kMaxDeadlineMs), "deadline is"},
        LimitCase{"attempts",
                  [](std::size_t n) {
                    return Transaction().Tcc(
                        "s", "a", {}, {.retry = {.max_attempts = static_cast<std::uint32_t>(n)}});
                  },
                  limits::kMaxMaxAttemptsCount, "max_attempts"}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(TransactionTest, RefusesWhatCanNeverWork) {
  const auto message = [](const Transaction& t) {
    const Status status = t.Validate();
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    return status.message();
  };
  EXPECT_THAT(message(Transaction()), HasSubstr("at least one"));
  EXPECT_THAT(message(Valid().Gid("a/b")), HasSubstr("not allowed"));
  EXPECT_THAT(message(Valid().Gid("")), HasSubstr("gid is empty"));
  EXPECT_THAT(message(Valid().Trace("4bf92f3577b34da6a3ce929d0e0e4736")),
              HasSubstr("traceparent is '4bf92f"));
  EXPECT_THAT(message(Valid().Trace("", "a=1")), HasSubstr("traceparent is not"));
  EXPECT_THAT(message(Transaction().Tcc("s", "a").Tcc("s", "a", {}, {.id = "1"})),
              HasSubstr("'1' is taken"));
  EXPECT_THAT(message(Transaction().Tcc("s", "a", {}, {.id = "2"}).Tcc("s", "a")),
              HasSubstr("branches[1].id is empty, which stands for its position '2'"));
  EXPECT_THAT(message(Transaction().Tcc("s", "a", {}, {.after = {"2"}})),
              HasSubstr("no branch of this transaction"));
  EXPECT_THAT(message(Transaction().Tcc("s", "a", {}, {.after = {"1"}})),
              HasSubstr("the branch itself"));
  EXPECT_THAT(message(Transaction().Tcc("s", "a", {}, {.pivot = true})),
              HasSubstr("only a Saga step"));
  EXPECT_THAT(
      message(
          Transaction().Saga("s", "a", {}, {.pivot = true}).Saga("s", "b", {}, {.pivot = true})),
      HasSubstr("at most 1"));
  EXPECT_THAT(message(Valid().Label("k", "\xff")), HasSubstr("not UTF-8"));
  EXPECT_THAT(message(Valid().Deadline(std::chrono::milliseconds(-1))), HasSubstr("-1 ms"));
  EXPECT_EQ(Valid().Validate(/*open=*/true).code(), Code::kInvalidArgument);
  EXPECT_TRUE(Transaction().Validate(/*open=*/true).ok());
}

TEST(EndpointTest, TakesAddressesAndSaysHowToWriteThem) {
  for (const char* good : {"localhost:7400", "127.0.0.1:1", "[::1]:7400", "[fe80::1%eth0]:65535",
                           "a_b.example-1:7400", "unix:/run/assent.sock", "unix-abstract:assent",
                           "dns:///coordinator:7400", "ipv4:127.0.0.1:7400", "ipv6:[::1]:7400"})
    EXPECT_TRUE(internal::CheckEndpoint("endpoint", good).ok()) << good;
  const auto why = [](const std::string& endpoint) {
    return internal::CheckEndpoint("endpoint", endpoint).message();
  };
  EXPECT_THAT(why(""), HasSubstr("endpoint is empty"));
  EXPECT_THAT(why("http://127.0.0.1:7400"), HasSubstr("is a URL"));
  EXPECT_THAT(why("grpc://127.0.0.1:7400"), HasSubstr("is a URL"));
  EXPECT_THAT(why("localhost"), HasSubstr("has no port"));
  EXPECT_THAT(why("[::1]"), HasSubstr("has no port"));
  EXPECT_THAT(why("localhost:"), HasSubstr("no port from 1 to 65535"));
  EXPECT_THAT(why("localhost:http"), HasSubstr("no port from 1 to 65535"));
  EXPECT_THAT(why("localhost:0"), HasSubstr("no port from 1 to 65535"));
  EXPECT_THAT(why("localhost:65536"), HasSubstr("no port from 1 to 65535"));
  EXPECT_THAT(why("localhost:7400/"), HasSubstr("no port from 1 to 65535"));
  EXPECT_THAT(why(":7400"), HasSubstr("does not begin with a host"));
  EXPECT_THAT(why("::1:7400"), HasSubstr("does not begin with a host"));
  EXPECT_THAT(why(" localhost:7400"), HasSubstr("does not begin with a host"));
  EXPECT_THAT(why("local\nhost:7400"), HasSubstr("'local?host:7400' does not begin"));
}

// The rule, in a table: who is older, and whether they have one coordinator.
TEST(TextTest, CutsBetweenCharactersAndReplacesWhatIsNotUtf8) {
  EXPECT_EQ(CleanText("abc", 2), "ab");
  EXPECT_EQ(CleanText("a\xC3\xA4z", 2), "a");  // the ä would be cut in half
  EXPECT_EQ(CleanText("a\xC3\xA4z", 3), "a\xC3\xA4");
  EXPECT_EQ(CleanText("a\xFFz", 10), "a?z");
  EXPECT_EQ(CleanText("\xC3", 10), "?");
  EXPECT_EQ(CleanText("\xC0\x80", 10), "??");       // overlong
  EXPECT_EQ(CleanText("\xED\xA0\x80", 10), "???");  // a surrogate
  EXPECT_EQ(CleanText("\xF0\x9F\x98\x80!", 10), "\xF0\x9F\x98\x80!");
  EXPECT_EQ(CleanText("\xF4\x90\x80\x80", 10), "????");  // beyond Unicode
}

v1::BranchReply Put(Operation operation, Reply reply) {
  v1::BranchReply out;
  internal::PutReply(operation, std::move(reply), &out);
  return out;
}

TEST(WireTest, AnAnswerThatTheContractDoesNotHaveBecomesRetryLater) {
  EXPECT_EQ(Put(Operation::kPrepare, Reply::DoneReadOnly()).kind(),
            v1::BranchReply::DONE_READ_ONLY);
  EXPECT_EQ(Put(Operation::kTry, Reply::DoneReadOnly()).kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_EQ(Put(Operation::kCommit, Reply::Refused("not prepared")).kind(),
            v1::BranchReply::REFUSED);
  const v1::BranchReply big =
      Put(Operation::kTry, Reply::Done(std::string(limits::kMaxResultBytes + 1, 'x')));
  EXPECT_EQ(big.kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_THAT(big.reason(), HasSubstr("262145 bytes"));
  EXPECT_TRUE(big.result().empty());
  EXPECT_EQ(Put(Operation::kConfirm, Reply::Done("ignored")).result(), "");
  Reply odd;
  odd.kind = static_cast<Reply::Kind>(0);
  EXPECT_EQ(Put(Operation::kTry, odd).kind(), v1::BranchReply::RETRY_LATER);
}

TEST(WireTest, ReasonsAreCutAndClean) {
  const v1::BranchReply reply =
      Put(Operation::kTry, Reply::Refused("\xFF" + std::string(2000, 'r')));
  EXPECT_EQ(reply.reason().size(), limits::kMaxReasonBytes);
  EXPECT_EQ(reply.reason()[0], '?');
}

TEST(NamesTest, EveryValueHasOne) {
  for (int i = 1; i <= 8; ++i)
    EXPECT_STRNE(OperationName(static_cast<Operation>(i)), "INVALID_OPERATION");
  for (int i = 0; i <= 4; ++i) EXPECT_STRNE(OutcomeName(static_cast<Outcome>(i)), "invalid");
  for (int i = 0; i <= 4; ++i)
    EXPECT_STRNE(TransactionStateName(static_cast<TransactionState>(i)), "invalid");
  for (int i = 0; i <= 10; ++i)
    EXPECT_STRNE(BranchStateName(static_cast<BranchState>(i)), "invalid");
}

}  // namespace
}  // namespace assent

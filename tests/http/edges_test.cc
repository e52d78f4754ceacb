// The edge of each rule, on both of its sides: who comes in, what is counted, which code is which.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/http/desk.h"
#include "coordinator/http/json.h"
#include "coordinator/http/ledger.h"
#include "coordinator/http/routes.h"

namespace assent::http {
namespace {

using Entry = Ledger::Entry;

TEST(Ledger, TheLimitIsOfAllAndOfAnAddress) {
  Ledger ledger(5, 2);
  EXPECT_EQ(ledger.Enter("a"), Entry::kServed);
  EXPECT_EQ(ledger.Enter("a"), Entry::kServed);
  EXPECT_EQ(ledger.Enter("a"), Entry::kRefused);
  EXPECT_EQ(ledger.Enter("b"), Entry::kServed);
  EXPECT_EQ(ledger.Enter("b"), Entry::kServed);
  EXPECT_EQ(ledger.Enter("c"), Entry::kServed);
  EXPECT_EQ(ledger.Enter("d"), Entry::kRefused);  // there are five
  EXPECT_EQ(ledger.Figures().connections, 5U);
  ledger.Leave("a", Entry::kRefused);
  EXPECT_EQ(ledger.Figures().connections, 5U) << "it was none";
  EXPECT_EQ(ledger.Enter("a"), Entry::kRefused);
  ledger.Leave("a", Entry::kServed);
  EXPECT_EQ(ledger.Enter("a"), Entry::kServed);
  ledger.Leave("c", Entry::kServed);
  EXPECT_EQ(ledger.Enter("b"), Entry::kRefused) << "room, but not for this one";
  EXPECT_EQ(ledger.Enter("c"), Entry::kServed);
}

TEST(Ledger, OfOneAddressIsHalfUnlessToldOtherwise) {
  Ledger ledger(3, 0);
  EXPECT_EQ(ledger.Enter("a"), Entry::kServed);
  EXPECT_EQ(ledger.Enter("a"), Entry::kServed);
  EXPECT_EQ(ledger.Enter("a"), Entry::kRefused);
  EXPECT_EQ(ledger.Enter("b"), Entry::kServed);
  EXPECT_EQ(Ledger(1, 0).Enter("a"), Entry::kServed);
}

TEST(Ledger, SomeAreToldThatTheyAreTooMany) {
  Ledger ledger(1, 1);
  EXPECT_EQ(ledger.Enter("a"), Entry::kServed);
  for (std::size_t i = 0; i < kMaxRefusedConnectionsCount; ++i)
    EXPECT_EQ(ledger.Enter("b"), Entry::kRefused);
  EXPECT_EQ(ledger.Enter("b"), Entry::kClosed);
  ledger.Leave("b", Entry::kClosed);
  EXPECT_EQ(ledger.Enter("b"), Entry::kClosed);
  ledger.Leave("b", Entry::kRefused);
  EXPECT_EQ(ledger.Enter("b"), Entry::kRefused);
}

TEST(Ledger, LargeBodiesHaveALimitTogether) {
  Ledger ledger(1, 1);
  EXPECT_TRUE(ledger.TakeBody(kMaxAllBodiesBytes - kUncountedBodyBytes - 1));
  EXPECT_TRUE(ledger.TakeBody(kUncountedBodyBytes + 1));
  EXPECT_FALSE(ledger.TakeBody(kUncountedBodyBytes + 1));
  EXPECT_TRUE(ledger.TakeBody(kUncountedBodyBytes)) << "it is covered already";
  ledger.GiveBody(kUncountedBodyBytes);
  EXPECT_FALSE(ledger.TakeBody(kUncountedBodyBytes + 1));
  ledger.GiveBody(kUncountedBodyBytes + 1);
  EXPECT_FALSE(ledger.TakeBody(kUncountedBodyBytes + 2));
  EXPECT_TRUE(ledger.TakeBody(kUncountedBodyBytes + 1));
}

TEST(Ledger, AnswersAreCountedByCode) {
  Ledger ledger(1, 1);
  for (const unsigned code : {200U, 404U, 200U}) ledger.Answered(code);
  EXPECT_EQ(ledger.Figures().answers, (std::map<unsigned, std::uint64_t>{{200, 2}, {404, 1}}));
}

// The canonical pairs of google.rpc.Code.
TEST(Codes, OfHttpAndOfStatus) {
  const std::map<Code, std::pair<unsigned, int>> codes{
      {Code::kOk, {200, 0}},
      {Code::kCancelled, {499, 1}},
      {Code::kInvalidArgument, {400, 3}},
      {Code::kDeadlineExceeded, {504, 4}},
      {Code::kNotFound, {404, 5}},
      {Code::kAlreadyExists, {409, 6}},
      {Code::kPermissionDenied, {403, 7}},
      {Code::kResourceExhausted, {429, 8}},
      {Code::kFailedPrecondition, {400, 9}},
      {Code::kAborted, {409, 10}},
      {Code::kOutOfRange, {400, 11}},
      {Code::kUnimplemented, {501, 12}},
      {Code::kInternal, {500, 13}},
      {Code::kUnavailable, {503, 14}},
      {Code::kDataLoss, {500, 15}},
      {Code::kUnknownOutcome, {500, 2}},
      {Code::kElsewhere, {503, 14}},
  };
  for (const auto& [code, numbers] : codes) {
    EXPECT_EQ(HttpCode(code), numbers.first) << static_cast<int>(code);
    EXPECT_EQ(RpcCode(code), numbers.second) << static_cast<int>(code);
  }
  EXPECT_EQ(Failure(NotFound("x")).code, 404U);
  EXPECT_EQ(Failure(NotFound("x"), 421).code, 421U);
  EXPECT_TRUE(Failure(InvalidArgument("x"), 429).try_later);
  EXPECT_FALSE(Failure(InvalidArgument("x"), 431).try_later);
}

unsigned Sent(Request request, bool loopback = true) {
  request.method = "POST";
  request.target = "/v1/transactions";
  return CheckSender(request, loopback).code;
}

TEST(Sender, HostsOfThisMachine) {
  for (const char* host : {"127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:1", "localhost:1"})
    EXPECT_EQ(Sent({.host = host}), 200U) << host;
  for (const char* host :
       {":1", "localhost.evil", "127.0.0.1.evil", "evil:127", "local", "[::1", "[", "1.2.3.4x"})
    EXPECT_EQ(Sent({.host = host}), 421U) << host;
  EXPECT_EQ(Sent({.host = "coordinator.example"}, /*loopback=*/false), 200U);
}

TEST(Sender, OriginsAreWholeOrNone) {
  for (const char* origin : {"http://localhost:1", "https://localhost:1", "HTTP://LOCALHOST:1"})
    EXPECT_EQ(Sent({.host = "localhost:1", .origin = origin}), 200U) << origin;
  for (const char* origin :
       {"null", "http://localhost", "http://localhost:12", "localhost:1", "ftp://localhost:1"})
    EXPECT_EQ(Sent({.host = "localhost:1", .origin = origin}), 403U) << origin;
  EXPECT_EQ(Sent({.host = "a.example", .origin = "http://b.example"}, /*loopback=*/false), 403U);
}

TEST(Sender, ABodySaysThatItIsJson) {
  for (const char* type : {"application/json", "Application/JSON", "application/json ; charset=x",
                           "application/json\t", "application/json;"})
    EXPECT_EQ(Sent({.content_type = type, .body = "{}"}), 200U) << type;
  for (const char* type :
       {"application/json x", "application/jso", "text/application/json", "application/json-seq"})
    EXPECT_EQ(Sent({.content_type = type, .body = "{}"}), 415U) << type;
  EXPECT_EQ(Sent({.content_type = "text/plain"}), 200U) << "there is none";
}

std::string GidOf(const std::string& target) {
  const Result<Target> found = Find("GET", target);
  if (!found.ok() || found->route == nullptr) return "nobody";
  const Result<Asked> asked = Read(*found, "");
  return asked.ok() ? asked->gid : asked.status().message();
}

TEST(Targets, AreDecodedOnce) {
  EXPECT_EQ(GidOf("/v1/transactions/a+b"), "a+b");  // a blank in a query alone
  EXPECT_EQ(GidOf("/v1/transactions/%41%6a%4A%2f%252f"), "AjJ/%2f");
  EXPECT_EQ(GidOf("/v1/transactions/%e2%82%ac"), "\u20ac");
  for (const char* wrong : {"%", "%4", "%4g", "%g4", "a%", "%%41"}) {
    EXPECT_FALSE(Find("GET", "/v1/transactions/" + std::string(wrong)).ok()) << wrong;
    EXPECT_FALSE(QueryOf("/x?a=" + std::string(wrong)).ok()) << wrong;
    EXPECT_FALSE(QueryOf("/x?" + std::string(wrong) + "=a").ok()) << wrong;
  }
  EXPECT_EQ(*QueryOf("/x?a=1&&b=c+d%3D=&e&=f&"),
            (Pairs{{"a", "1"}, {"b", "c d=="}, {"e", ""}, {"", "f"}}));
  EXPECT_EQ(*QueryOf("/x?"), Pairs{});
  EXPECT_EQ(*QueryOf("/x"), Pairs{});
  EXPECT_EQ(PathOf("/x?y?z"), "/x");
}

// Whether a list can be asked for with this query.
bool Takes(const std::string& query) {
  const Result<Target> found = Find("GET", "/v1/transactions?" + query);
  return found.ok() && Read(*found, "").ok();
}

TEST(Targets, NumbersAndWordsAreWhole) {
  for (const char* query :
       {"page_size=4294967295", "page_size=0", "min_age_ms=-9223372036854775808", "all=true",
        "all=false", "all", "timeout_ms=1", "timeout_ms=3600000", "timeoutMs=7", "labels[]=a",
        "labels[a]]=b", "protocol=SAGA", "states=ACTIVE&states=ACTIVE"})
    EXPECT_TRUE(Takes(query)) << query;
  for (const char* query : {"page_size=4294967296",
                            "page_size=",
                            "page_size=+1",
                            "page_size=1.0",
                            "page_size= 1",
                            "min_age_ms=9223372036854775808",
                            "min_age_ms=",
                            "all=1",
                            "all=TRUE",
                            "timeout_ms=3600001",
                            "timeout_ms=-1",
                            "timeout_ms=",
                            "labels[a=b",
                            "labels=b",
                            "states[a]=ACTIVE",
                            "protocol=SAG",
                            "protocol=",
                            "states[=ACTIVE",
                            "slice=x",
                            "request_id=1"})
    EXPECT_FALSE(Takes(query)) << query;
}

}  // namespace
}  // namespace assent::http

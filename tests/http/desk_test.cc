// Requests without sockets: who may ask, and how answers, failures and events look.

#include "coordinator/http/desk.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/openapi.h"
#include "coordinator/http/routes.h"
#include "coordinator/http/stream.h"
#include "tests/http/desk_rig.h"
#include "tests/http/line.h"

namespace assent::http {
namespace {

class DeskTest : public DeskRig {
 protected:
  ~DeskTest() override {
    for (const auto& pending : pending_) pending->Close();
  }

  std::shared_ptr<Phone> Begin(Request request) {
    auto phone = std::make_shared<Phone>();
    if (auto pending = desk_.Take(std::move(request), phone))
      pending_.push_back(std::move(pending));
    return phone;
  }
  static Request Of(const std::string& method, const std::string& target,
                    const std::string& body = {}) {
    return {.method = method,
            .target = target,
            .content_type = "application/json; charset=utf-8",
            .host = "127.0.0.1:7480",
            .body = body};
  }
  // The code, and the body.
  std::pair<unsigned, Json> Ask(Request request) {
    const Answer answer = Begin(std::move(request))->answers.Take();
    return {answer.code, Json::parse(answer.body, nullptr, false)};
  }
  std::pair<unsigned, Json> Ask(const std::string& method, const std::string& target,
                                const std::string& body = {}) {
    return Ask(Of(method, target, body));
  }

  std::vector<std::shared_ptr<Pending>> pending_;
};

TEST_F(DeskTest, ATransactionFromItsBeginningToItsEnd) {
  const auto waiting = Begin(Of("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", kOne));
  AnswerNext();
  const Json reply = Json::parse(waiting->answers.Take().body);
  EXPECT_EQ(reply["outcome"], "COMMITTED");
  EXPECT_EQ(reply["state"], "FINISHED");
  const auto [code, shown] = Ask("GET", "/v1/transactions/g");
  EXPECT_EQ(code, 200U);
  EXPECT_EQ(shown["branches"][0]["state"], "DONE");
  EXPECT_EQ(shown["beganUnixMs"].type(), Json::value_t::string);  // as the mapping has 64 bits
  EXPECT_EQ(Ask("GET", "/v1/transactions?all").second["transactions"].size(), 1U);
  EXPECT_EQ(Ask("GET", "/v1/server").second["committed"], "1");
}

TEST_F(DeskTest, AFailureIsAStatus) {
  const auto [code, status] = Ask("GET", "/v1/transactions/nobody");
  EXPECT_EQ(code, 404U);
  EXPECT_EQ(status["code"], 5);
  EXPECT_NE(status["message"].get<std::string>().find("nobody"), std::string::npos);
  EXPECT_TRUE(status["details"].is_array());
  EXPECT_EQ(Ask("POST", "/v1/transactions", "{}").first, 400U);
  EXPECT_EQ(Ask("POST", "/v1/transactions/nobody:abort", "{}").first, 400U);  // who?
  EXPECT_EQ(Ask("GET", "/v2").first, 404U);
  const Answer wrong = Begin(Of("DELETE", "/v1/transactions/g"))->answers.Take();
  EXPECT_EQ(wrong.code, 405U);
  EXPECT_EQ(wrong.allow, "GET");
}

TEST_F(DeskTest, WhoseTimeIsOverIsToldAndTheTransactionGoesOn) {
  const auto waiting = Begin(Of("POST", "/v1/transactions?timeout_ms=5", kOne));
  EXPECT_EQ(pending_.at(0)->patience().count(), 5);
  pending_[0]->TimedOut();
  const Answer answer = waiting->answers.Take();
  EXPECT_EQ(answer.code, 504U);
  EXPECT_EQ(Json::parse(answer.body)["code"], 4);
  AnswerNext();
  EXPECT_EQ(Ask("POST", "/v1/transactions/g:wait", R"({"waitFor": "WAIT_COMPLETED"})").first, 200U);
}

TEST_F(DeskTest, AWatchIsEventsAndAnEnd) {
  const auto waiting = Begin(Of("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", kOne));
  (void)waiting->answers.Take();
  const auto watch = Begin(Of("GET", "/v1/transactions/g:watch"));
  const std::string first = watch->events.Take();
  EXPECT_EQ(first.find("event: transaction\ndata: {\"gid\":\"g\""), 0U) << first;
  EXPECT_EQ(first.substr(first.size() - 2), "\n\n");
  AnswerNext();
  for (std::string event = first; event.find("\"state\":\"FINISHED\"") == std::string::npos;) {
    pending_.back()->Taken();
    event = watch->events.Take();
  }
  pending_.back()->Taken();
  EXPECT_EQ(watch->events.Take(), "event: end\nid: end\ndata: {}\n\n");
  // A browser's own EventSource comes again, and is sent away for good.
  Request again = Of("GET", "/v1/transactions/g:watch");
  again.last_event_id = "end";
  EXPECT_EQ(Begin(std::move(again))->answers.Take().code, 204U);
  // What cannot be watched is a failure like any other.
  EXPECT_EQ(Ask("GET", "/v1/transactions/nobody:watch").first, 404U);
}

TEST_F(DeskTest, PagesOfOthersAreSentAway) {
  Request request = Of("POST", "/v1/transactions/g:abort", R"({"action": {"who": "eve"}})");
  request.origin = "http://evil.example";
  EXPECT_EQ(Ask(request).first, 403U);
  request.origin = "http://127.0.0.1:7480";
  EXPECT_EQ(Ask(request).first, 404U);  // it may ask; there is no such transaction
  request.host = "rebound.example:7480";
  request.origin.clear();
  EXPECT_EQ(Ask(request).first, 421U);
  for (const char* host : {"localhost", "localhost:7480", "[::1]:7480", "10.0.0.7", "",
                           "LocalHost:7480", "localhost.", "localhost.:7480"}) {
    request.host = host;
    EXPECT_EQ(Ask(request).first, 404U) << host;
  }
  // Without asking first, a page of another origin can send these alone.
  for (const char* type :
       {"text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"}) {
    request.content_type = type;
    EXPECT_EQ(Ask(request).first, 415U) << type;
  }
}

TEST_F(DeskTest, AnAbsoluteTargetSaysTheHost) {
  Request request = Of("GET", "http://localhost:7480/livez");
  request.host = "rebound.example";
  EXPECT_EQ(Begin(request)->answers.Take().body, "alive\n");
  request = Of("GET", "HTTP://rebound.example/livez");
  EXPECT_EQ(Begin(request)->answers.Take().code, 421U);
  request = Of("GET", "https://127.0.0.1?x");
  EXPECT_NE(Begin(request)->answers.Take().code, 421U);  // "/"
  request = Of("GET", "http://127.0.0.1:7480/v1/transactions/nobody?results=true");
  request.origin = "http://127.0.0.1:7480";
  EXPECT_EQ(Begin(request)->answers.Take().code, 404U);
  request.origin = "HTTP://127.0.0.1:7481";
  EXPECT_EQ(Begin(request)->answers.Take().code, 403U);
}

TEST_F(DeskTest, AnAbsoluteTargetHasTheLimitsOfItsPath) {
  for (const char* host : {"", "http://localhost:7480", "HTTPS://127.0.0.1"}) {
    const std::string at = host;
    EXPECT_EQ(desk_.MaxBody("POST", at + "/v1/transactions?wait_for=WAIT_DECIDED"), kMaxBodyBytes);
    EXPECT_EQ(desk_.MaxBody("POST", at + "/v1/transactions/g/branches"), kMaxBranchBodyBytes);
    EXPECT_EQ(desk_.MaxBody("POST", at + "/v1/transactions/g:abort"), kMaxOtherBodyBytes);
  }
  EXPECT_EQ(desk_.MaxBody("POST", "http://localhost"), kMaxOtherBodyBytes);
}

TEST_F(DeskTest, VerboseIsYesOrNo) {
  const auto words = [this](const std::string& query) {
    return Begin(Of("GET", "/readyz" + query))->answers.Take().body;
  };
  for (const char* yes : {"?verbose", "?verbose=", "?verbose=1", "?x&verbose=true"})
    EXPECT_NE(words(yes).find("log: "), std::string::npos) << yes;
  desk_.health().SetWrite([](const std::function<void(const Status&)>& done) { done(OkStatus()); });
  for (const char* no : {"", "?verbose=0", "?verbose=false", "?now=17"})
    EXPECT_EQ(words(no), "ready\n") << no;
  EXPECT_EQ(Begin(Of("GET", "/readyz?verbose=perhaps"))->answers.Take().code, 400U);
}

// With its database away a coordinator has no answer, and its callers waited for ever.
TEST_F(DeskTest, WhoOnlyLooksHasAnAnswerInTime) {
  const auto late = [this](const std::string& method, const std::string& target,
                           const std::string& body, int patience_ms) {
    const auto phone = Begin(Of(method, target, body));
    EXPECT_EQ(pending_.back()->patience().count(), patience_ms) << target;
    pending_.back()->TimedOut();
    return phone->answers.Take();
  };
  engine_->Stop();  // nobody answers
  for (const char* target :
       {"/v1/transactions/g", "/v1/transactions", "/v1/transactions/g:watch"}) {
    const Answer answer = late("GET", target, "", kMaxLookMs);
    EXPECT_EQ(answer.code, 503U) << target;
    EXPECT_TRUE(answer.try_later);
    EXPECT_NE(answer.body.find("there has been no answer for 5000 ms"), std::string::npos);
  }
  EXPECT_EQ(late("GET", "/v1/transactions/g?timeout_ms=70", "", 70).code, 504U);
  const Answer answer = late("POST", "/v1/transactions/g:abort",
                             R"({"action": {"who": "ann", "reason": "r"}})", kMaxDeedMs);
  EXPECT_EQ(answer.code, 504U);
  EXPECT_NE(answer.body.find("it may be done all the same"), std::string::npos) << answer.body;
  // Of one that was given no gid it is told as well.
  const std::string none = R"({"branches": [{"protocol": "SAGA", "service": "s", "action": "a"}]})";
  const Answer begun = late("POST", "/v1/transactions?timeout_ms=7", none, 7);
  EXPECT_EQ(begun.body.find("transaction  "), std::string::npos) << begun.body;
}

TEST(Desk, BeforeTheServiceIsThereItIsUnavailable) {
  Desk desk({.health = {.look = [] { return std::vector<Check>(); }}, .version = "1"});
  const auto line = std::make_shared<Line>();
  (void)desk.Take({.method = "GET", .target = "/v1/server", .host = "localhost"}, line);
  ASSERT_EQ(line->answers.size(), 1U);
  EXPECT_EQ(line->answers[0].code, 503U);
  EXPECT_TRUE(line->answers[0].try_later);
  (void)desk.Take({.method = "GET", .target = "/livez", .host = "localhost"}, line);
  EXPECT_EQ(line->answers.at(1).body, "alive\n");
  (void)desk.Take({.method = "POST", .target = "/readyz", .host = "localhost"}, line);
  EXPECT_EQ(line->answers.at(2).code, 405U);
}

TEST(Json, EachCodeIsTheOneThatHttpHas) {
  EXPECT_EQ(HttpCode(Code::kFailedPrecondition), 400U);
  EXPECT_EQ(HttpCode(Code::kResourceExhausted), 429U);
  EXPECT_EQ(HttpCode(Code::kElsewhere), 503U);
  EXPECT_EQ(StatusJson(UnknownOutcome("a \"b\"\n")),
            R"({"code":2,"message":"a \"b\"\n","details":[]})");
  EXPECT_TRUE(Failure(Unavailable("x")).try_later);
  EXPECT_FALSE(Failure(NotFound("x")).try_later);
}

TEST(Events, DataOfSeveralLinesIsSeveralLinesOfData) {
  EXPECT_EQ(EventText("e", "a\n\nb", "7"), "event: e\nid: 7\ndata: a\ndata: \ndata: b\n\n");
  EXPECT_EQ(EventText("e", ""), "event: e\ndata: \n\n");
}

TEST(OpenApi, EachRouteAndEachMessageIsInTheDocument) {
  const Json document = Json::parse(OpenApi("1"));
  std::size_t operations = 0;
  for (const auto& path : document["paths"].items()) operations += path.value().size();
  constexpr std::size_t kOfTheLogin = 3;
  EXPECT_EQ(operations, Routes().size() + OtherRoutes().size() + kOfTheLogin);
  const std::string text = document.dump();
  for (std::size_t at = text.find("#/components/schemas/"); at != std::string::npos;
       at = text.find("#/components/schemas/", at + 1)) {
    const std::size_t from = at + std::string("#/components/schemas/").size();
    const std::string name = text.substr(from, text.find('"', from) - from);
    EXPECT_TRUE(document["components"]["schemas"].contains(name)) << name;
  }
}

}  // namespace
}  // namespace assent::http

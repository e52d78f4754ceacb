// The table of routes: which path is which call, and what message a request comes to.

#include "coordinator/http/routes.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "assent/v1/batch.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/http/json.h"

namespace assent::http {
namespace {

std::string Called(const std::string& method, const std::string& target) {
  const Result<Target> found = Find(method, target);
  if (!found.ok()) return found.status().ToString();
  return found->route == nullptr ? "nobody, but " + found->allow : found->route->call;
}

// The message, by the wire's own rules; or what is wrong.
template <typename Message>
std::string Asking(const std::string& method, const std::string& target, const std::string& body,
                   Message& message) {
  const Result<Target> found = Find(method, target);
  if (!found.ok()) return found.status().ToString();
  Result<Asked> asked = Read(*found, body);
  if (!asked.ok()) return asked.status().ToString();
  message = static_cast<const Message&>(*asked->request);
  return "OK " + asked->gid +
         (asked->timeout_ms > 0 ? " " + std::to_string(asked->timeout_ms) : "");
}

TEST(HttpRoutes, EachPathIsItsCalls) {
  const std::map<std::pair<std::string, std::string>, std::string> calls{
      {{"POST", "/v1/transactions"}, "Submit"},
      {{"GET", "/v1/transactions?all=true"}, "List"},
      {{"POST", "/v1/transactions:begin"}, "Begin"},
      {{"GET", "/v1/transactions/g"}, "Get"},
      {{"GET", "/v1/transactions/g:watch"}, "Watch"},
      {{"POST", "/v1/transactions/g:commit?"}, "Commit"},
      {{"POST", "/v1/transactions/g/branches"}, "ExecuteBranch"},
      {{"POST", "/v1/transactions/g/branches/b:resolve"}, "ResolveBranch"},
      // A gid may have a colon; one behind which no verb stands is its own.
      {{"GET", "/v1/transactions/order:17"}, "Get"},
      {{"GET", "/v1/transactions/order:17:watch"}, "Watch"},
      {{"POST", "/v1/transactions/order:17:abort"}, "Abort"},
      {{"GET", "/v1/transactions/order%3Awatch"}, "Get"},
      {{"DELETE", "/v1/transactions/g"}, "nobody, but GET"},
      {{"PUT", "/v1/transactions"}, "nobody, but POST, GET"},
      {{"GET", "/v1/transactions/"}, "nobody, but "},
      {{"GET", "/v1/transactions/g/"}, "nobody, but "},
      {{"GET", "/v1"}, "nobody, but "},
      {{"GET", "/v1/transactions/%G0"},
       "INVALID_ARGUMENT: the target has a % without two hexadecimal digits"},
      {{"GET", "/v1/transactions/a%2"},
       "INVALID_ARGUMENT: the target has a % without two hexadecimal digits"},
      {{"GET", "/v1/transactions/%ff"}, "INVALID_ARGUMENT: the target is not UTF-8"},
  };
  for (const auto& [request, call] : calls)
    EXPECT_EQ(Called(request.first, request.second), call)
        << request.first << " " << request.second;
}

TEST(HttpRoutes, EachCallButTheStreamsHasOne) {
  const auto* const service =
      v1::SubmitRequest::descriptor()->file()->FindServiceByName("TransactionService");
  std::map<std::string, int> routes;
  for (const Route& route : Routes()) ++routes[route.descriptor().name()];
  for (int i = 0; i < service->method_count(); ++i) {
    const bool stream = service->method(i)->client_streaming();
    EXPECT_EQ(routes[service->method(i)->name()], stream ? 0 : 1) << service->method(i)->name();
  }
  EXPECT_EQ(routes["Batch"], 1);
}

TEST(HttpRoutes, ABatchHasItsFiltersInTheBody) {
  v1::BatchRequest batch;
  EXPECT_EQ(Asking("POST", "/v1/transactions:batch?timeout_ms=9",
                   R"({"verb": "SUSPEND", "service": "bank", "labels": {"a": "b"},
                       "action": {"who": "ann", "dryRun": true}, "asOfUnixMs": "7"})",
                   batch),
            "OK  9");
  EXPECT_EQ(batch.verb(), v1::BatchRequest::SUSPEND);
  EXPECT_EQ(batch.labels().at("a"), "b");
  EXPECT_TRUE(batch.action().dry_run());
  EXPECT_EQ(batch.as_of_unix_ms(), 7);
}

TEST(HttpRoutes, ABodyIsTheTransactionAndTheQueryTheRest) {
  v1::SubmitRequest submit;
  EXPECT_EQ(Asking("POST", "/v1/transactions?wait_for=WAIT_COMPLETED&timeout_ms=250",
                   R"({"gid": "g", "branches": [{"branchId": "1", "payload": "eA==", "pivot": true,
                       "attempt_timeout_ms": 7, "retry": {"maxBackoffMs": "9"}}]})",
                   submit),
            "OK g 250");
  EXPECT_EQ(submit.wait_for(), v1::WAIT_COMPLETED);
  EXPECT_EQ(submit.transaction().branches(0).payload(), "x");
  EXPECT_EQ(submit.transaction().branches(0).attempt_timeout_ms(), 7);
  EXPECT_EQ(submit.transaction().branches(0).retry().max_backoff_ms(), 9);
  EXPECT_EQ(Asking("POST", "/v1/transactions?waitFor=WAIT_DECIDED", "", submit), "OK ");
}

TEST(HttpRoutes, ThePathNamesTheTransaction) {
  v1::ResolveBranchRequest resolve;
  EXPECT_EQ(Asking("POST", "/v1/transactions/a:b/branches/c%2Ed:resolve",
                   R"({"action": {"who": "ann"}, "resolution": "DECISION_ABORT"})", resolve),
            "OK a:b");
  EXPECT_EQ(resolve.action().gid(), "a:b");
  EXPECT_EQ(resolve.action().who(), "ann");
  EXPECT_EQ(resolve.branch_id(), "c.d");
  v1::WaitRequest wait;
  EXPECT_EQ(Asking("POST", "/v1/transactions/g:wait", R"({"gid": "g"})", wait), "OK g");
  EXPECT_EQ(Asking("POST", "/v1/transactions/g:wait", R"({"gid": "h"})", wait),
            R"(INVALID_ARGUMENT: gid is "g" in the path and "h" in the body)");
}

TEST(HttpRoutes, AListIsFilteredByItsQuery) {
  v1::ListRequest list;
  EXPECT_EQ(Asking("GET",
                   "/v1/transactions?states=ACTIVE&states=ABORTING&service=a%20b+c&needs_operator"
                   "&labels[k.1]=v&min_age_ms=5&page_size=7&protocol=TCC&all=false",
                   "", list),
            "OK ");
  EXPECT_EQ(list.states_size(), 2);
  EXPECT_EQ(list.service(), "a b c");
  EXPECT_TRUE(list.needs_operator());
  EXPECT_FALSE(list.all());
  EXPECT_EQ(list.labels().at("k.1"), "v");
  EXPECT_EQ(list.min_age_ms(), 5);
  EXPECT_EQ(list.page_size(), 7U);
  EXPECT_EQ(list.protocol(), v1::TCC);
}

TEST(HttpRoutes, WhatIsWrongIsNamed) {
  v1::ListRequest list;
  EXPECT_EQ(Asking("GET", "/v1/transactions?states=BUSY", "", list),
            "INVALID_ARGUMENT: states is \"BUSY\": it takes a value of assent.v1.TransactionState, "
            "such as ACTIVE");
  EXPECT_EQ(Asking("GET", "/v1/transactions?page_size=-1", "", list),
            "INVALID_ARGUMENT: page_size is \"-1\": it takes a number from 0 to 4294967295");
  EXPECT_EQ(Asking("GET", "/v1/transactions?min_age_ms=5x", "", list),
            "INVALID_ARGUMENT: min_age_ms is \"5x\": it takes a number");
  EXPECT_EQ(Asking("GET", "/v1/transactions?all=maybe", "", list),
            "INVALID_ARGUMENT: all is \"maybe\": it takes true or false");
  EXPECT_EQ(Asking("GET", "/v1/transactions?slice=1", "", list)
                .find("INVALID_ARGUMENT: the query has \"slice\": it takes states, all, "),
            0U);
  EXPECT_EQ(Asking("GET", "/v1/transactions", "{}", list),
            "INVALID_ARGUMENT: there is a body, and none is taken");
  v1::GetServerInfoRequest info;
  EXPECT_EQ(Asking("GET", "/v1/server?x=1", "", info),
            "INVALID_ARGUMENT: the query has \"x\": it takes timeout_ms");
  v1::SubmitRequest submit;
  EXPECT_EQ(Asking("POST", "/v1/transactions?timeout_ms=0", "", submit),
            "INVALID_ARGUMENT: timeout_ms is \"0\": it takes 1 to 3600000");
  EXPECT_NE(Asking("POST", "/v1/transactions", R"({"branchs": []})", submit).find("branchs"),
            std::string::npos);
  EXPECT_NE(Asking("POST", "/v1/transactions", R"({"gid": )", submit).find("INVALID_ARGUMENT"),
            std::string::npos);
}

// The last one won, and two that disagree were an answer to neither.
TEST(HttpRoutes, AFieldOfTheQueryStandsOnce) {
  v1::ListRequest list;
  EXPECT_EQ(Asking("GET", "/v1/transactions?page_size=1&page_size=2", "", list),
            "INVALID_ARGUMENT: the query has \"page_size\" twice");
  EXPECT_EQ(Asking("GET", "/v1/transactions?page_size=1&pageSize=1", "", list),
            "INVALID_ARGUMENT: the query has \"pageSize\" twice");
  EXPECT_EQ(Asking("GET", "/v1/transactions?labels[a]=1&labels[a]=1", "", list),
            "INVALID_ARGUMENT: the query has \"labels[a]\" twice");
  EXPECT_EQ(Asking("GET", "/v1/transactions?labels[a]=1&labels[b]=1&states=ACTIVE&states=ABORTING",
                   "", list),
            "OK ");
  v1::SubmitRequest submit;
  EXPECT_EQ(Asking("POST", "/v1/transactions?timeout_ms=1&timeoutMs=2", "", submit),
            "INVALID_ARGUMENT: the query has \"timeoutMs\" twice");
}

TEST(HttpRoutes, EachCallTakesATimeButTheStream) {
  for (const Route& route : Routes()) EXPECT_EQ(route.takes_timeout(), !route.streams());
  v1::GetRequest get;
  EXPECT_EQ(Asking("GET", "/v1/transactions/g?timeout_ms=7", "", get), "OK g 7");
  v1::AbortRequest abort;
  EXPECT_EQ(Asking("POST", "/v1/transactions/g:abort?timeout_ms=7", "", abort), "OK g 7");
  v1::WatchRequest watch;
  EXPECT_NE(Asking("GET", "/v1/transactions/g:watch?timeout_ms=7", "", watch).find("it takes "),
            std::string::npos);
}

TEST(HttpRoutes, ABodyIsNoLargerThanItsRequestCanBe) {
  EXPECT_EQ(MaxBodyBytes("POST", "/v1/transactions?wait_for=WAIT_DECIDED"), kMaxBodyBytes);
  EXPECT_EQ(MaxBodyBytes("POST", "/v1/transactions/g/branches"), kMaxBranchBodyBytes);
  EXPECT_EQ(MaxBodyBytes("POST", "/v1/transactions:begin"), kMaxOtherBodyBytes);
  EXPECT_EQ(MaxBodyBytes("POST", "/v1/transactions/g:abort"), kMaxOtherBodyBytes);
  EXPECT_EQ(MaxBodyBytes("GET", "/v1/transactions"), kMaxOtherBodyBytes);
  EXPECT_EQ(MaxBodyBytes("POST", "/nothing"), kMaxOtherBodyBytes);
}

}  // namespace
}  // namespace assent::http

// What an answer means, code by code, by OTLP's table.

#include "coordinator/tracing/otlp/verdict.h"

#include <string>

#include <gtest/gtest.h>

namespace assent::tracing {
namespace {

post::Answer Of(unsigned code) {
  const bool taken = code >= 200 && code < 300;
  return {.failed = taken ? "" : "it answers " + std::to_string(code), .code = code};
}

TEST(Verdict, Codes) {
  for (const unsigned code : {200U, 202U, 204U}) EXPECT_EQ(Judge(Of(code), 5).fate, Fate::kTaken);
  for (const unsigned code : {0U, 429U, 502U, 503U, 504U})
    EXPECT_EQ(Judge(Of(code), 5).fate, Fate::kLater) << code;
  for (const unsigned code : {101U, 301U, 400U, 401U, 403U, 404U, 408U, 413U, 500U, 501U, 505U}) {
    const Verdict verdict = Judge(Of(code), 5);
    EXPECT_EQ(verdict.fate, Fate::kRefused) << code;
    EXPECT_EQ(verdict.rejected, 5U);
    EXPECT_EQ(verdict.said, "it answers " + std::to_string(code));
  }
}

TEST(Verdict, RetryAfter) {
  const auto pause = [](const std::string& text) {
    post::Answer answer = Of(503);
    answer.retry_after = text;
    return Judge(answer, 1).pause.count();
  };
  EXPECT_EQ(pause("7"), 7);
  EXPECT_EQ(pause("0"), 0);
  EXPECT_EQ(pause("4294967295"), 4'294'967'295);
  for (const char* none : {"", "-1", "1.5", "7 ", "99999999999", "Fri, 31 Dec 1999 23:59:59 GMT"})
    EXPECT_EQ(pause(none), 0) << none;
}

}  // namespace
}  // namespace assent::tracing

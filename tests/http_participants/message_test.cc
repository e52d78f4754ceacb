// What is posted, and what counts as a reply.

#include "coordinator/transport/http/message.h"

#include <string>

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "coordinator/transport/wire.h"

namespace assent::transport::http {
namespace {

const char kDone[] =
    R"({"gid":"g","branchId":"1","operation":"TRY","kind":"DONE","result":"AP8="})";

CallEnd ReadAnswer(long code, const std::string& type, const std::string& body,
                   core::Millis retry_after = core::Millis(0)) {
  CallEnd end;
  Read({.code = code, .content_type = type, .body = body, .retry_after = retry_after}, end);
  return end;
}

TEST(HttpMessage, ABodyIsTheCommandInProtobufsMappingWithEveryField) {
  Command command;
  command.gid = "order-17";
  command.branch_id = "pay";
  command.operation = core::Operation::kConfirm;
  command.service = "bank";
  command.action = "debit";
  command.payload = std::string("\0\xff{", 3);
  command.results = {{"seat", std::string("\x01\x02", 2)}};
  command.headers = {{"tenant", "\"a\""}};
  command.attempt = 3;
  command.timeout = core::Millis(12'000);
  command.began_epoch = 1ULL << 60;
  command.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const std::string body = BodyOf(command, 7);
  v1::BranchCommand read;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(body, &read).ok()) << body;
  v1::BranchCommand expected;
  ToWire(Command(command), 0, 7, expected);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(expected, read)) << body;
  for (const char* field :
       {R"("operation":"CONFIRM")", R"("payload":"AP97")", R"("results":{"seat":"AQI="})",
        R"("onePhase":false)", R"("slot":0)", R"("tracestate":"")", R"("timeoutMs":"12000")"})
    EXPECT_NE(body.find(field), std::string::npos) << field << " in " << body;
}

// docs/wire.md has this as a table. What is no reply is unknown, whatever its code says.
TEST(HttpMessage, OnlyAReplyOfTheRightTypeIsOne) {
  const struct {
    long code;
    const char* type;
    bool reply;
  } rows[] = {
      {200, "application/json", true},
      {201, "application/json; charset=utf-8", true},
      {299, "Application/JSON", true},
      {200, "application/assent-reply+json", true},
      {200, "text/html", false},
      {200, "", false},
      {200, "application/jsonp", false},
      {404, "application/json", false},
      {409, "application/json", false},
      {500, "application/json", false},
      {302, "application/json", false},
      {404, "application/assent-reply+json", true},
      {409, "application/assent-reply+json;v=1", true},
      {503, "application/assent-reply+json", true},
      {301, "application/assent-reply+json", true},
      {503, "application/assent-reply+jsonx", false},
  };
  for (const auto& row : rows) {
    const CallEnd end = ReadAnswer(row.code, row.type, kDone);
    EXPECT_EQ(end.replied, row.reply) << row.code << " " << row.type;
    if (row.reply) {
      EXPECT_EQ(end.reply.result(), std::string("\0\xff", 2));
      EXPECT_EQ(end.reply.kind(), v1::BranchReply::DONE);
      continue;
    }
    EXPECT_NE(end.words.find("HTTP " + std::to_string(row.code)), std::string::npos) << end.words;
  }
}

TEST(HttpMessage, EveryFieldOfAReplyIsRead) {
  const std::string body =
      R"({"gid":"g","branchId":"1","operation":"PREPARE","kind":"RETRY_LATER","reason":"busy",)"
      R"("retryAfterMs":"1500","blockedByGid":"other","result":"","new":[{}],"commandId":"9"})";
  const CallEnd end = ReadAnswer(200, "application/json", body);
  ASSERT_TRUE(end.replied) << end.words;
  EXPECT_EQ(end.reply.gid(), "g");
  EXPECT_EQ(end.reply.branch_id(), "1");
  EXPECT_EQ(end.reply.operation(), v1::PREPARE);
  EXPECT_EQ(end.reply.kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_EQ(end.reply.reason(), "busy");
  EXPECT_EQ(end.reply.retry_after_ms(), 1500);
  EXPECT_EQ(end.reply.blocked_by_gid(), "other");
  // By the names of the proto as well, and with numbers that are ones.
  const CallEnd other = ReadAnswer(
      200, "application/json",
      R"({"gid":"g","branch_id":"1","operation":"TRY","kind":"RETRY_LATER","retry_after_ms":7})");
  ASSERT_TRUE(other.replied) << other.words;
  EXPECT_EQ(other.reply.branch_id(), "1");
  EXPECT_EQ(other.reply.retry_after_ms(), 7);
}

TEST(HttpMessage, WhatCannotBeReadIsUnknownAndSaysWhy) {
  const struct {
    const char* body;
    const char* said;
  } rows[] = {
      {"", "no object of JSON"},
      {"[]", "no object of JSON"},
      {"{'gid':'g'}", "no object of JSON"},
      {R"({"gid":"g","branchId":"1","operation":"TRY","kind":"DONE")", "no object of JSON"},
      {R"({"gid":"g","branchId":"1","operation":"TRY","kind":"DONE","kind":"REFUSED"})", "twice"},
      {R"({"gid":1,"branchId":"1","operation":"TRY","kind":"DONE"})", "its gid"},
      {R"({"gid":"g","branchId":"1","operation":"try","kind":"DONE"})", "its operation"},
      {R"({"gid":"g","branchId":"1","operation":"TRY","kind":"done"})", "its kind"},
      {R"({"gid":"g","branchId":"1","operation":"TRY"})", "its kind"},
      {R"({"gid":"g","branchId":"1","operation":"TRY","kind":"DONE","result":"?"})", "its result"},
      {R"({"gid":"g","branchId":"1","operation":"TRY","kind":"DONE","result":{}})", "its result"},
      {R"({"gid":"g","branchId":"1","operation":"TRY","kind":"RETRY_LATER","retryAfterMs":-1})",
       "its retryAfterMs"},
      {R"({"gid":"g","branchId":"1","operation":"TRY","kind":"RETRY_LATER","retryAfterMs":"1s"})",
       "its retryAfterMs"},
  };
  for (const auto& row : rows) {
    const CallEnd end = ReadAnswer(200, "application/json", row.body, core::Millis(3000));
    EXPECT_FALSE(end.replied) << row.body;
    EXPECT_NE(end.words.find(row.said), std::string::npos) << row.body << ": " << end.words;
    EXPECT_EQ(end.retry_after, core::Millis(3000));
    EXPECT_TRUE(end.reply.gid().empty());
  }
}

// The object was copied once, level by level, and a participant could end the coordinator by it.
TEST(HttpMessage, DepthCostsNoStack) {
  EXPECT_FALSE(ReadAnswer(200, "application/json", std::string(kMaxReplyBytes, '[')).replied);
  const std::string nested = std::string(500'000, '[') + std::string(500'000, ']');
  EXPECT_FALSE(ReadAnswer(200, "application/json", nested).replied);
  EXPECT_FALSE(ReadAnswer(200, "application/json", "{\"x\":" + nested + "}").replied);
  const std::string reply = std::string(kDone, sizeof(kDone) - 2);
  EXPECT_TRUE(ReadAnswer(200, "application/json", reply + ",\"new\":" + nested + "}").replied);
  EXPECT_EQ(ReadAnswer(200, "application/json", reply + ",\"reason\":" + nested + "}").words,
            "HTTP 200 with a reply that cannot be read: its reason is not a string");
}

TEST(HttpMessage, ATextThatIsNoUtf8CostsItselfAlone) {
  const CallEnd end =
      ReadAnswer(409, kReplyType,
                 "{\"gid\":\"g\",\"branchId\":\"1\",\"operation\":\"TRY\",\"kind\":\"REFUSED\","
                 "\"reason\":\"n\xff o\"}");
  ASSERT_TRUE(end.replied) << end.words;
  EXPECT_EQ(end.reply.kind(), v1::BranchReply::REFUSED);
  EXPECT_EQ(end.reply.reason(), "n? o");
}

TEST(HttpMessage, RetryAfterDelaysWhatHasNoTimeOfItsOwn) {
  const std::string later = R"({"gid":"g","branchId":"1","operation":"TRY","kind":"RETRY_LATER"})";
  EXPECT_EQ(ReadAnswer(503, kReplyType, later, core::Millis(2000)).reply.retry_after_ms(), 2000);
  const std::string own =
      R"({"gid":"g","branchId":"1","operation":"TRY","kind":"RETRY_LATER","retryAfterMs":5})";
  EXPECT_EQ(ReadAnswer(503, kReplyType, own, core::Millis(2000)).reply.retry_after_ms(), 5);
  const CallEnd proxy = ReadAnswer(503, "text/html", "<p>busy</p>", core::Millis(2000));
  EXPECT_FALSE(proxy.replied);
  EXPECT_EQ(proxy.retry_after, core::Millis(2000));
  EXPECT_EQ(proxy.words, "HTTP 503: <p>busy</p>");
}

}  // namespace
}  // namespace assent::transport::http

#include "tools/assentctl/submit_file.h"

#include <string>
#include <vector>

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <assent/limits.h>

#include "tests/ctl/golden.h"

namespace assent::ctl {
namespace {

constexpr const char* kBranch = R"({"protocol":"saga","service":"s","action":"a"})";

std::string WithBranch(const std::string& extra) {
  return R"({"branches":[{"protocol":"saga","service":"s","action":"a",)" + extra + "}]}";
}
std::string WithTop(const std::string& extra) {
  return "{" + extra + R"(,"branches":[)" + kBranch + "]}";
}
std::string WithIds(const std::string& first, const std::string& second) {
  const std::string rest = R"("protocol":"tcc","service":"s","action":"a"})";
  return R"({"branches":[{)" + first + rest + ",{" + second + rest + "]}";
}
std::string PayloadOf(const std::string& json) {
  const auto spec = ReadTransactionSpec(WithBranch("\"payload\":" + json), "t");
  EXPECT_TRUE(spec.ok()) << spec.status().message();
  return spec.ok() ? spec.value().branches(0).payload() : "";
}

TEST(SubmitFile, EveryFieldArrives) {
  const auto spec = ReadTransactionSpec(ReadGolden("submit_full.json"), "submit_full.json");
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  const auto expected = ReadMessage<v1::TransactionSpec>("submit_full.textproto");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(expected, spec.value()))
      << spec.value().DebugString();
}

TEST(SubmitFile, TheFlagOverridesTheGid) {
  EXPECT_EQ("mine", ReadTransactionSpec(WithTop(R"("gid":"theirs")"), "t", "mine").value().gid());
  EXPECT_EQ("theirs", ReadTransactionSpec(WithTop(R"("gid":"theirs")"), "t").value().gid());
}

TEST(SubmitFile, APayloadIsTextOrBytesOrJson) {
  EXPECT_EQ("plain \"text\"", PayloadOf(R"("plain \"text\"")"));
  EXPECT_EQ(std::string("\0\xff", 2), PayloadOf(R"({"base64":"AP8="})"));
  // The order of keys is the file's: a participant may sign or hash its payload.
  EXPECT_EQ(R"({"b":1,"a":[true,null,1.5]})", PayloadOf(R"({ "b": 1, "a": [true, null, 1.5] })"));
  EXPECT_EQ("[1,2]", PayloadOf("[1, 2]"));
  EXPECT_EQ("42", PayloadOf("42"));
  EXPECT_EQ("null", PayloadOf("null"));
  EXPECT_EQ("\"é\"", PayloadOf(R"(["é"])").substr(1, 4));
  // Only a lone base64 key with a string is bytes.
  EXPECT_EQ(R"({"base64":"AP8=","x":1})", PayloadOf(R"({"base64":"AP8=","x":1})"));
  EXPECT_EQ(R"({"base64":7})", PayloadOf(R"({"base64":7})"));
}

struct Wrong {
  std::string json;
  const char* message;  // a part of it
};

std::vector<Wrong> WrongFiles() {
  return {
      {"", "not JSON"},
      {"{", "not JSON: parse error at line 1"},
      {"[]", "the document must be an object, not array"},
      {"{}", "branches is missing"},
      {R"({"branches":[]})", "branches is empty"},
      {R"({"branches":{}})", "branches must be an array"},
      {R"({"branches":[1]})", "branches[0] must be an object, not number"},
      {R"({"branches":[{}]})", "branches[0].protocol is missing"},
      {R"({"branches":[{"protocol":"xa","service":"s","action":"a"}]})",
       "branches[0].protocol is 'xa'; known are 2pc, tcc and saga"},
      {R"({"branches":[{"protocol":"tcc","action":"a"}]})", "branches[0].service is missing"},
      {R"({"branches":[{"protocol":"tcc","service":"a b","action":"a"}]})",
       "branches[0].service must be 1 to 128 of [A-Za-z0-9._:/-], not 'a b'"},
      {R"({"branches":[{"protocol":"tcc","service":"s","action":""}]})",
       "branches[0].action must be 1 to"},
      {WithTop(R"("gid":7)"), "gid must be a string"},
      {WithTop(R"("gid":"a/b")"), "gid must be 1 to 64 of [A-Za-z0-9._:-], not 'a/b'"},
      {WithTop("\"gid\":\"" + std::string(65, 'g') + "\""), "gid must be 1 to 64"},
      {WithTop(R"("dedline":"5s")"),
       "dedline is not known here; known are: branches, deadline, gid, labels, ordering"},
      {WithTop(R"("deadline":5)"), "deadline must be a duration in quotes"},
      {WithTop(R"("deadline":"5")"), "deadline is wrong: '5' is not a duration"},
      {WithTop(R"("deadline":"8d")"), "deadline is 8 d; the limit is 7 d"},
      {WithTop(R"("ordering":"random")"), "ordering is 'random'"},
      {WithTop(R"("labels":["a"])"), "labels must be an object of strings"},
      {WithTop(R"("labels":{"a":1})"), "labels.a must be a string"},
      {WithTop(R"("labels":{"":"x"})"), "labels has an empty key"},
      {WithTop(R"("gid":"a","gid":"b")"), "key \"gid\" is there twice"},
      {WithTop(R"("gid":"a")") + std::string(1, '\0') + "more", "not JSON: there is a NUL in it"},
      {WithBranch(R"("payload":{"base64":"!"})"), "branches[0].payload.base64 is wrong"},
      {WithBranch(R"("after":"x")"), "branches[0].after must be an array"},
      {WithBranch(R"("after":[1])"), "branches[0].after[0] must be a string"},
      {WithBranch(R"("after":["7"])"), "branches[0].after names '7', which is no branch"},
      {WithBranch(R"("after":["1"])"), "branches[0].after names the branch itself"},
      {WithBranch(R"("pivot":1)"), "branches[0].pivot must be true or false"},
      {WithBranch(R"("check_back":true)"),
       "branches[0].check_back is for the pivot only, as the first step"},
      {WithBranch(R"("attempt_timeout":"2h")"),
       "branches[0].attempt_timeout is 2 h; the limit is 1 h"},
      {WithBranch(R"("retry":{"max_backof":"1s"})"),
       "branches[0].retry.max_backof is not known here"},
      {WithBranch(R"("retry":{"max_backoff":"2h"})"),
       "branches[0].retry.max_backoff is 2 h; the limit is 1 h"},
      {WithBranch(R"("retry":{"max_attempts":-1})"),
       "branches[0].retry.max_attempts must be a whole number"},
      {WithBranch(R"("retry":{"max_attempts":1.5})"),
       "branches[0].retry.max_attempts must be a whole number"},
      {WithBranch(R"("retry":{"max_attempts":1000001})"),
       "branches[0].retry.max_attempts is over the limit"},
      {WithBranch(R"("headers":{"k":1})"), "branches[0].headers.k must be a string"},
      {WithBranch("\"headers\":{\"k\":\"" + std::string(1025, 'v') + "\"}"),
       "branches[0].headers.k has 1025 bytes; the limit is 1024"},
      {WithBranch("\"payload\":\"" + std::string(limits::kMaxPayloadBytes + 1, 'p') + "\""),
       "branches[0].payload has 1048577 bytes; the limit is 1048576"},
      {R"({"branches":[{"protocol":"tcc","service":"s","action":"a","pivot":true}]})",
       "branches[0].pivot is for Saga steps only"},
      {WithIds(R"("id":"x",)", R"("id":"x",)"), "branches[1].id 'x' is there twice"},
      // An id given to one branch may not be the number of another.
      {WithIds(R"("id":"2",)", ""),
       "branches[1].id is missing, which stands for its position '2', and branches[0] is called "
       "so: give it an id of its own"},
      {WithIds("", R"("id":"1",)"),
       "branches[0].id is missing, which stands for its position '1', and branches[1] is called "
       "so: give it an id of its own"},
  };
}

TEST(SubmitFile, ErrorsNameThePlace) {
  for (const Wrong& wrong : WrongFiles()) {
    const auto spec = ReadTransactionSpec(wrong.json, "order.json");
    ASSERT_FALSE(spec.ok()) << wrong.json.substr(0, 200);
    EXPECT_EQ(Code::kInvalidArgument, spec.status().code());
    EXPECT_EQ(0U, spec.status().message().find("order.json: ")) << spec.status().message();
    EXPECT_NE(std::string::npos, spec.status().message().find(wrong.message))
        << spec.status().message() << "\n  lacks: " << wrong.message;
  }
}

std::string Branches(std::size_t count, const std::string& extra = "") {
  std::string json = R"({"branches":[)";
  for (std::size_t i = 0; i < count; ++i) {
    json += std::string(i == 0 ? "" : ",") + R"({"protocol":"saga","service":"s","action":"a")" +
            extra + "}";
  }
  return json + "]}";
}

TEST(SubmitFile, ExactlyAtALimitIsFine) {
  EXPECT_TRUE(ReadTransactionSpec(Branches(limits::kMaxBranchesCount), "t").ok());
  EXPECT_FALSE(ReadTransactionSpec(Branches(limits::kMaxBranchesCount + 1), "t").ok());
  const std::string megabyte =
      ",\"payload\":\"" + std::string(limits::kMaxPayloadBytes, 'p') + "\"";
  EXPECT_TRUE(ReadTransactionSpec(Branches(3, megabyte), "t").ok());
  EXPECT_FALSE(ReadTransactionSpec(Branches(4, megabyte), "t").ok());
  EXPECT_TRUE(ReadTransactionSpec(WithTop(R"("deadline":"7d")"), "t").ok());
  EXPECT_FALSE(ReadTransactionSpec(Branches(2, ",\"pivot\":true"), "t").ok());
}

}  // namespace
}  // namespace assent::ctl

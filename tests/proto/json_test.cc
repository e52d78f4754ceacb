// The JSON of messages: one shape, wherever it is shown.

#include "proto/json/json.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "assent/v1/transaction.pb.h"
#include "proto/json/bytes.h"

namespace assent::json {
namespace {

v1::Transaction Sample() {
  v1::Transaction txn;
  txn.set_gid("g");
  txn.set_state(v1::COMMITTING);
  (*txn.mutable_labels())["z"] = "last";
  (*txn.mutable_labels())["a"] = "\u202e";
  v1::Branch& branch = *txn.add_branches();
  branch.mutable_spec()->set_protocol(v1::TWO_PHASE);
  branch.mutable_spec()->set_payload("\xff");
  branch.set_result("text");
  branch.add_attempts()->set_latency_us(7);
  return txn;
}

TEST(Json, HasEveryFieldUnderItsName) {
  const Json shown = ToJson(Sample(), {.payloads = true});
  EXPECT_EQ(shown["state"], "COMMITTING");
  EXPECT_EQ(shown["outcome"], "OUTCOME_UNSPECIFIED");
  EXPECT_EQ(shown["recoveries"], 0);
  EXPECT_EQ(Dump(shown["labels"], -1), R"({"a":"\u202e","z":"last"})");
  const Json& branch = shown["branches"][0];
  EXPECT_EQ(Dump(branch["spec"]["payload"], -1), R"({"base64":"/w=="})");
  EXPECT_EQ(branch["spec"]["payload_bytes"], 1);
  EXPECT_EQ(branch["result"], "text");
  EXPECT_EQ(branch["result_bytes"], 4);
  EXPECT_EQ(branch["attempts"][0]["latency_us"], 7);
}

TEST(Json, LeavesOutWhatWasNotAskedFor) {
  const Json plain = ToJson(Sample(), {});
  EXPECT_FALSE(plain["branches"][0]["spec"].contains("payload"));
  EXPECT_EQ(plain["branches"][0]["spec"]["payload_bytes"], 1);
  const Json summary = ToJson(Sample(), {.summary = true});
  for (const char* field : {"result", "result_bytes", "attempts", "dropped_attempts"})
    EXPECT_FALSE(summary["branches"][0].contains(field)) << field;
}

// The whole of a message, as it stands in a file: the order of its fields is part of the shape.
// Those of one coordinator are as they were before there were several.
TEST(Json, SaysWhatConcernsSeveralCoordinatorsOnlyIfThereIsAny) {
  v1::ListReply list;
  EXPECT_EQ(ToJson(list, {}).dump(), R"({"transactions":[],"next_page_token":""})");
  list.add_silent()->set_node("north");
  list.set_slots_left_out(3);
  const Json json = ToJson(list, {});
  EXPECT_EQ(json["silent"][0]["node"], "north");
  EXPECT_EQ(json["slots_left_out"], 3);
  EXPECT_FALSE(json.contains("slice")) << "which is between coordinators";
  v1::ServerInfo info;
  EXPECT_FALSE(ToJson(info, {}).contains("members"));
  info.add_members()->set_node("north");
  EXPECT_EQ(ToJson(info, {})["members"][0]["node"], "north");
}

TEST(Json, IsWrittenInTheOrderOfTheProto) {
  v1::Intervention deed;
  deed.set_at_unix_ms(1);
  deed.set_verb("abort");
  deed.set_who("ann\x7f");
  EXPECT_EQ(Dump(ToJson(deed, {}), 2), R"({
  "at_unix_ms": 1,
  "verb": "abort",
  "branch_id": "",
  "who": "ann\u007f",
  "reason": ""
})");
}

// RFC 4648, section 10.
TEST(Base64, BothWays) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(text, ToBase64(bytes));
    EXPECT_EQ(bytes, FromBase64(text).value());
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(all, FromBase64(ToBase64(all)).value());
}

TEST(Base64, RefusesWhatIsNot) {
  for (const char* text :
       {"Z", "Zg=", "Zg", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm-_", "Zh==", "Zm9="}) {
    EXPECT_FALSE(FromBase64(text).ok()) << text;
  }
}

TEST(Text, IsTextMeansFitForATerminal) {
  EXPECT_TRUE(IsText(""));
  EXPECT_TRUE(IsText("a\tb\r\nc é € 😀"));
  EXPECT_FALSE(IsText(std::string("a\0b", 3)));
  EXPECT_FALSE(IsText("\x1b[2J"));
  EXPECT_FALSE(IsText("\x7f"));
  EXPECT_FALSE(IsText("\xc2\x9b"));  // C1: the one-character form of ESC [
  EXPECT_FALSE(IsText("\xff"));
  EXPECT_FALSE(IsText("\xc3"));              // cut short
  EXPECT_FALSE(IsText("\xc0\x80"));          // overlong
  EXPECT_FALSE(IsText("\xe0\x80\x80"));      // overlong
  EXPECT_FALSE(IsText("\xed\xa0\x80"));      // a surrogate
  EXPECT_FALSE(IsText("\xf4\x90\x80\x80"));  // beyond U+10FFFF
}

}  // namespace
}  // namespace assent::json

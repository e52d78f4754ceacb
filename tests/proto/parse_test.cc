// One string that is not UTF-8 made a parser refuse the whole message and say nothing of which: an
// initiator was told UNIMPLEMENTED with an empty message, and a participant lost its session with
// every command on it.

#include "proto/parse/parse.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <assent/text.h>

#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"

namespace assent::wire {
namespace {

class Parsing : public ::testing::Test {
  google::protobuf::LogSilencer quiet_;  // protobuf tells stderr of each text that it refuses
};

v1::SubmitRequest Request() {
  v1::SubmitRequest request;
  v1::TransactionSpec& transaction = *request.mutable_transaction();
  transaction.set_gid("g");
  for (const char* id : {"a", "b", "c"}) {
    v1::BranchSpec& branch = *transaction.add_branches();
    branch.set_branch_id(id);
    branch.set_payload("any \xff bytes");
    branch.add_after("x");
    branch.add_after("y");
  }
  return request;
}

std::string WhatIsWrong(const v1::SubmitRequest& request) {
  v1::SubmitRequest parsed;
  return Parse(request.SerializeAsString(), "the request", parsed).ToString();
}

TEST_F(Parsing, WhatIsRightIsTaken) { EXPECT_EQ(WhatIsWrong(Request()), "OK"); }

TEST_F(Parsing, NamesTheFieldThatIsNotUtf8) {
  v1::SubmitRequest request = Request();
  (*request.mutable_transaction()->mutable_labels())["shop"] = "caf\xe9";
  EXPECT_EQ(WhatIsWrong(request),
            "INVALID_ARGUMENT: transaction.labels[\"shop\"] is not UTF-8: texts are, bytes go into "
            "a payload");
  request = Request();
  (*request.mutable_transaction()->mutable_branches(2)->mutable_headers())["x"] = "\xed\xa0\x80";
  request.mutable_transaction()->mutable_branches(2)->set_after(1, "\xc0\xaf");
  EXPECT_EQ(WhatIsWrong(request),
            "INVALID_ARGUMENT: transaction.branches[2].after[1] is not UTF-8: texts are, bytes go "
            "into a payload (and 1 more are not)");
  request = Request();
  (*request.mutable_transaction()->mutable_labels())["caf\xe9"] = "x";
  EXPECT_EQ(WhatIsWrong(request),
            "INVALID_ARGUMENT: a key of transaction.labels is not UTF-8: texts are, bytes go into "
            "a payload");
}

TEST_F(Parsing, WhatIsNoMessageIsSaidToBeNone) {
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff no message"), std::string("\x0a\x7f"), std::string("\x0b"),
        std::string("\x00", 1)}) {
    v1::SubmitRequest parsed;
    EXPECT_EQ(Parse(bytes, "the request", parsed).ToString(),
              "INVALID_ARGUMENT: the request is not a valid assent.v1.SubmitRequest message");
  }
}

TEST_F(Parsing, MendingTouchesTheBadBytesAloneAndNamesTheFields) {
  v1::ParticipantFrame frame;
  for (int i = 0; i < 3; ++i) {
    v1::BranchReply& reply = *frame.add_replies();
    reply.set_gid("g" + std::to_string(i));
    reply.set_result("\xff");
    reply.set_reason(i == 1 ? "d\xe9j\xe0 vu, é" : "fine");
  }
  std::string bytes = frame.SerializeAsString();
  ASSERT_FALSE(v1::ParticipantFrame().ParseFromString(bytes));
  const BadText bad = MendText(*v1::ParticipantFrame::descriptor(), bytes);
  EXPECT_TRUE(bad.whole);
  EXPECT_EQ(bad.count, 1u);
  EXPECT_EQ(bad.fields, std::vector<std::string>{"replies[1].reason"});
  v1::ParticipantFrame mended;
  ASSERT_TRUE(mended.ParseFromString(bytes));
  EXPECT_EQ(mended.replies(1).reason(), "d?j? vu, é");
  frame.mutable_replies(1)->set_reason(mended.replies(1).reason());
  EXPECT_EQ(mended.SerializeAsString(), frame.SerializeAsString()) << "it changed something else";
}

TEST_F(Parsing, ManyBadTextsAreCountedAndAFewNamed) {
  v1::ParticipantFrame frame;
  for (int i = 0; i < 100; ++i) frame.add_replies()->set_reason("\x80");
  std::string bytes = frame.SerializeAsString();
  const BadText bad = MendText(*v1::ParticipantFrame::descriptor(), bytes);
  EXPECT_EQ(bad.count, 100u);
  EXPECT_EQ(bad.fields.size(), kMaxNamedFieldsCount);
  EXPECT_TRUE(v1::ParticipantFrame().ParseFromString(bytes));
}

// What nests deeper than the parser follows is no message, whoever asks.
TEST_F(Parsing, DepthIsBounded) {
  for (const std::size_t depth : {99, 100, 101, 100'000}) {
    std::string bytes;
    for (std::size_t i = 0; i < depth; ++i) bytes += "\xfb\x3e";  // a group of field 1007
    for (std::size_t i = 0; i < depth; ++i) bytes += "\xfc\x3e";
    EXPECT_EQ(FindBadText(*v1::SubmitRequest::descriptor(), bytes).whole,
              v1::SubmitRequest().ParseFromString(bytes))
        << depth;
  }
}

TEST(Text, BlankIsWhatShowsNothing) {
  for (const char* blank : {"", " \t\n", "\u200b", "\u202e \u00a0", "\u3000\u2800"})
    EXPECT_TRUE(IsBlank(blank)) << blank;
  EXPECT_TRUE(IsBlank(std::string_view("\0", 1)));
  for (const char* seen : {"ada", " \u200bx", "\xff", "\u00fc"})
    EXPECT_FALSE(IsBlank(seen)) << seen;
}

TEST(Text, CodePointsAndTheOnesThatNobodySees) {
  EXPECT_EQ(CodePoint("a", 1), U'a');
  EXPECT_EQ(CodePoint("é", 2), U'é');
  EXPECT_EQ(CodePoint("\xe2\x80\xae", 3), char32_t{0x202e});
  EXPECT_EQ(CodePoint("😀", 4), char32_t{0x1f600});
  for (const char32_t c : {0x00, 0x1b, 0x7f, 0x9b, 0xad, 0x61c, 0x200b, 0x200e, 0x200f, 0x2028,
                           0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xe0041})
    EXPECT_TRUE(IsUnseen(c)) << std::hex << static_cast<unsigned>(c);
  for (const char32_t c :
       {0x20, 0x41, 0xa0, 0xe9, 0x5d0, 0x627, 0x2010, 0x2026, 0x4e2d, 0xfe0f, 0x1f600})
    EXPECT_FALSE(IsUnseen(c)) << std::hex << static_cast<unsigned>(c);
}

}  // namespace
}  // namespace assent::wire

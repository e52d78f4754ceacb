// What is said of a cause must not tell two transactions with the same one apart.

#include "coordinator/core/cause.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "coordinator/core/spec.h"
#include "tests/core/rig.h"

namespace assent::core {
namespace {

TransactionSpec Spec(const std::string& gid, Protocol protocol = Protocol::kTcc) {
  TransactionSpec spec;
  spec.gid = gid;
  spec.labels = {{"customer", "anna.smith"}, {"n", "1"}};
  BranchSpec branch;
  branch.protocol = protocol;
  branch.service = "inventory.v2";
  branch.action = "reserve";
  spec.branches.push_back(branch);
  EXPECT_TRUE(Normalise(spec).ok());
  return spec;
}

Answered Said(Operation operation, AttemptResult result, const std::string& reason = {},
              bool absent = false) {
  Answered answered;
  answered.operation = operation;
  answered.attempt = 1;
  answered.result = result;
  answered.reason = reason;
  answered.service_absent = absent;
  return answered;
}

// What is the matter once the first attempt has ended so.
Cause After(const std::string& gid, AttemptResult result, const std::string& reason,
            bool absent = false) {
  testing::Rig rig(Spec(gid));
  (void)rig.Apply(Begin{1});
  (void)rig.Apply(Said(Operation::kTry, result, reason, absent));
  Cause cause = CauseOf(rig.transaction());
  // The rig's transaction goes.
  static const std::string kService = "inventory.v2";
  static const std::string kAction = "reserve";
  if (!cause.service.empty()) cause.service = kService;
  if (!cause.action.empty()) cause.action = kAction;
  return cause;
}

std::string Words(const std::string& reason) {
  return After("order-17", AttemptResult::kRetryLater, reason).words;
}

TEST(Causes, WordsWithoutWhatDiffers) {
  const std::pair<const char*, const char*> cases[] = {
      {"shelf 17 is locked", "shelf # is locked"},
      {"order-17: deadlock with order-18", "#: deadlock with #"},
      {"no answer within 10000 ms", "no answer within # ms"},
      {"cannot connect to 10.0.0.7:4242: Connection refused",
       "cannot connect to #: Connection refused"},
      {"cannot connect to [::1]:80", "cannot connect to [::#]:#"},
      {"row (17,4) of {a8b0c1d2-0000-4fff-8888-abcdefabcdef}", "row (#,#) of {#}"},
      {"anna.smith has no credit", "# has no credit"},
      {"at 2026-11-27T13:45:00.123Z", "at #"},
      {"HTTP 503 from the bank", "HTTP 503 from the bank"},
      {"failed with error 1205, after 31 s", "failed with error 1205, after # s"},
      {"status: 404", "status: 404"},
      {"code 123456789", "code #"},
      {"inventory.v2 has no action reserve", "inventory.v2 has no action reserve"},
      {"Lager 3 geschlossen, Schlüssel fehlt", "Lager # geschlossen, Schlüssel fehlt"},
      {"- : /", "- : /"},
  };
  for (const auto& [reason, words] : cases) {
    EXPECT_EQ(Words(reason), words) << reason;
  }
}

TEST(Causes, AGidThatIsALetterIsNoPartOfWords) {
  EXPECT_EQ(After("e", AttemptResult::kRetryLater, "the shelf of e is there: e").words,
            "the shelf of # is there: #");
}

TEST(Causes, LongWordsAreCutBetweenCharacters) {
  std::string reason;
  while (reason.size() < 1000) reason += "ä ";
  const std::string words = Words(reason);
  EXPECT_LE(words.size(), kMaxCauseBytes);
  EXPECT_GT(words.size(), kMaxCauseBytes - 4);
  EXPECT_EQ(words.substr(0, 3), "ä ");
}

TEST(Causes, OfEachKind) {
  EXPECT_EQ(Sentence(After("g", AttemptResult::kNotSent, "no participant is there", true)),
            "inventory.v2: not connected");
  EXPECT_EQ(
      Sentence(After("g", AttemptResult::kNotSent, "participant inventory.v2 is overloaded: 5")),
      "inventory.v2: cannot be sent: participant inventory.v2 is overloaded: #");
  EXPECT_EQ(Sentence(After("g", AttemptResult::kUnknown, "no answer within 10000 ms")),
            "inventory.v2/reserve: TRY fails: no answer within # ms");
  testing::Rig rig(Spec("g"));
  (void)rig.Apply(Begin{1});
  EXPECT_EQ(Sentence(CauseOf(rig.transaction())), "inventory.v2/reserve: TRY is not answered yet");
  (void)rig.Apply(Said(Operation::kTry, AttemptResult::kDone));
  (void)rig.Apply(Said(Operation::kConfirm, AttemptResult::kRefused, "unknown reservation g"));
  EXPECT_EQ(Sentence(CauseOf(rig.transaction())),
            "inventory.v2/reserve: CONFIRM is contradicted: unknown reservation #");
  (void)rig.Apply(Suspend{{"ann", "recount of shelf 7"}});
  EXPECT_EQ(Sentence(CauseOf(rig.transaction())), "suspended by ann (recount of shelf #)");
}

// What could not be sent before is on its way now: it fails at nothing yet.
TEST(Causes, WhatIsOnItsWayAgainIsNotAnsweredYet) {
  testing::Rig rig(Spec("g"));
  (void)rig.Apply(Begin{1});
  (void)rig.Apply(Said(Operation::kTry, AttemptResult::kNotSent,
                       "no participant inventory.v2 is connected", true));
  EXPECT_EQ(CauseOf(rig.transaction()).kind, CauseKind::kNotConnected);
  (void)rig.Apply(ServiceAppeared{"inventory.v2"});
  EXPECT_EQ(CauseOf(rig.transaction()).kind, CauseKind::kNotAnswered);
}

TEST(Causes, AnOpenOneWaitsForItsInitiator) {
  TransactionSpec spec;
  spec.gid = "g";
  spec.open = true;
  ASSERT_TRUE(Normalise(spec).ok());
  testing::Rig rig(std::move(spec));
  (void)rig.Apply(Begin{1});
  EXPECT_EQ(CauseOf(rig.transaction()).kind, CauseKind::kNotSealed);
}

}  // namespace
}  // namespace assent::core

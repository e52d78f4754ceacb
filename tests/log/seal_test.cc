// Keys of a file, and values under them.

#include "coordinator/crypt/seal.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/crypt/keys.h"
#include "tests/log/log_rig.h"

namespace assent::crypt {
namespace {

using testing::HasSubstr;

std::string Line(const std::string& id, char byte) {
  return *MakeKeyLine(id, std::string(kKeyBytes, byte));
}

TEST(KeysFile, TheFirstKeyWritesUnlessAnotherIsActive) {
  const auto first = Keys::Parse("# of ours\n" + Line("k1", 'a') + "\n" + Line("k2", 'b') + "\n");
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_EQ(first->active()->id(), "k1");
  EXPECT_EQ(first->Names(), "k1, k2");
  const auto second = Keys::Parse(Line("k1", 'a') + "\n" + Line("k2", 'b') + " active\n");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->active()->id(), "k2");
  const auto none = Keys::Parse(Line("k1", 'a') + "\nplaintext active\n");
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->active(), nullptr);
  EXPECT_NE(none->Find("k1"), nullptr);
  EXPECT_TRUE(none->takes_plaintext());
  EXPECT_FALSE(first->takes_plaintext());
  const auto both = Keys::Parse("plaintext\n" + Line("k1", 'a') + "\n");
  ASSERT_TRUE(both.ok());
  EXPECT_TRUE(both->takes_plaintext());
  EXPECT_EQ(both->active()->id(), "k1");
  EXPECT_EQ(both->Names(), "k1, plaintext");
}

TEST(KeysFile, WhatIsWrongIsNamedByItsLineAndNotShown) {
  const std::string good = Line("k1", 'a');
  const std::string secret = good.substr(3);
  const std::vector<std::string> wrong = {
      "",
      "# nothing\n",
      "k1\n",
      "k1 " + secret.substr(1) + "\n",
      "k1 " + secret + "x\n",
      "K1 " + secret + "\n",
      std::string(kMaxKeyIdBytes + 1, 'k') + " " + secret + "\n",
      "plaintext " + secret + "\n",
      good + "\n" + Line("k1", 'b') + "\n",
      good + " active\n" + Line("k2", 'b') + " active\n",
      good + " passive\n",
      good + " active now\n",
      "plaintext\n" + good + "\nplaintext active\n",
      "plaintext active\n",
      std::string(kMaxKeysFileBytes, '#') + "\n" + good,
  };
  for (const std::string& text : wrong) {
    const auto keys = Keys::Parse(text);
    ASSERT_FALSE(keys.ok()) << text.substr(0, 100);
    EXPECT_THAT(keys.status().message(), testing::Not(HasSubstr(secret.substr(1, 20)))) << text;
  }
  EXPECT_THAT(Keys::Parse(good + "\nk2 x\n").status().message(), HasSubstr("line 2"));
  std::string many;
  for (std::size_t i = 0; i <= kMaxKeysCount; ++i)
    many += Line("k" + std::to_string(i), 'a') + "\n";
  EXPECT_THAT(Keys::Parse(many).status().message(), HasSubstr("more than 64 keys"));
}

TEST(KeysFile, AnotherKeyIsUsedAndNothingElseChanges) {
  const std::string text = "# mine\n\n" + Line("k1", 'a') + " active\n" + Line("k2", 'b');
  const auto used = WithActive(text, "k2");
  ASSERT_TRUE(used.ok());
  EXPECT_EQ(*used, "# mine\n\n" + Line("k1", 'a') + "\n" + Line("k2", 'b') + " active\n");
  const auto plain = WithActive(*used, "plaintext");
  EXPECT_EQ(Keys::Parse(*plain)->active(), nullptr);
  EXPECT_EQ(*WithActive(*plain, "k2"), *used + "plaintext\n") << "rows may be in the clear";
  EXPECT_EQ(WithActive(text, "k3").status().code(), Code::kNotFound);
}

TEST(KeysFile, OthersMayNotReadIt) {
  const log::TempFolder folder;
  const std::string file = folder.File("keys");
  std::ofstream(file) << Line("k1", 'a') << "\n";
  namespace fs = std::filesystem;
  fs::permissions(file, fs::perms::owner_read);
  EXPECT_TRUE(ReadKeys(file).ok());
  for (const fs::perms more : {fs::perms::others_read, fs::perms::group_write}) {
    fs::permissions(file, fs::perms::owner_read | more);
    EXPECT_THAT(ReadKeys(file).status().message(), HasSubstr("chmod 600"));
  }
  EXPECT_FALSE(ReadKeys(folder.File("none")).ok());
  EXPECT_FALSE(ReadKeys(fs::path(file).parent_path()).ok());
}

// Cut behind its second key, the file would be whole, and its first key the one that writes.
TEST(KeysFile, OneThatIsCutIsNone) {
  const log::TempFolder folder;
  const std::string file = folder.File("keys");
  const std::string whole = "# of ours\n" + Line("k1", 'a') + "\n" + Line("k2", 'b') + " active\n";
  const std::string lines = whole.substr(0, whole.find("k2"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(file, std::ios::trunc) << whole.substr(0, size);
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    // Between two lines nobody can tell; the coordinator misses the key that its rows are under.
    EXPECT_EQ(ReadKeys(file).ok(), size == lines.size()) << size;
  }
}

class Sealing : public testing::Test {
 protected:
  const Keys keys_ = *Keys::Parse(Line("k1", 'a') + "\n" + Line("k2", 'b') + "\n");
  const Place place_{.field = Place::Field::kState, .log_id = 7, .gid = "order-1"};
  Sealer sealer_;
};

TEST_F(Sealing, WhatIsSealedOpensWhereItBelongs) {
  for (const std::size_t size : {0UL, 1UL, 15UL, 16UL, 17UL, 100'000UL}) {
    const std::string value(size, 'v');
    std::string sealed = sealer_.Seal(*keys_.Find("k2"), place_, value);
    EXPECT_EQ(CoverOf(sealed).key_id, "k2");
    if (size > 15) {
      EXPECT_THAT(sealed, testing::Not(HasSubstr("vvvv")));
    }
    EXPECT_EQ(sealer_.Open(keys_, place_, sealed), SealFault::kNone);
    EXPECT_EQ(sealed, value);
  }
}

TEST_F(Sealing, WhatIsInTheClearStaysSoIfItIsLetThrough) {
  const Keys letting = *Keys::Parse("plaintext\n" + Line("k1", 'a') + "\n");
  for (std::string value : {"", "\x01\x02", "plain", "\xFF"}) {
    const std::string before = value;
    EXPECT_FALSE(CoverOf(value).sealed);
    EXPECT_EQ(sealer_.Open(keys_, place_, value), SealFault::kClear);
    EXPECT_EQ(sealer_.Open(letting, place_, value), SealFault::kNone);
    EXPECT_EQ(sealer_.Open(Keys(), place_, value), SealFault::kNone);
    EXPECT_EQ(value, before);
  }
}

TEST_F(Sealing, NoTwoAreAlike) {
  std::set<std::string> all;
  for (int i = 0; i < 1000; ++i) all.insert(sealer_.Seal(*keys_.Find("k1"), place_, "same"));
  EXPECT_EQ(all.size(), 1000u);
}

TEST_F(Sealing, EveryBitCounts) {
  const std::string sealed = sealer_.Seal(*keys_.Find("k1"), place_, "value");
  for (std::size_t i = 0; i < sealed.size() * 8; ++i) {
    std::string changed = sealed;
    changed[i / 8] = static_cast<char>(changed[i / 8] ^ (1 << (i % 8)));
    const std::string as_changed = changed;
    const bool opened = sealer_.Open(keys_, place_, changed) == SealFault::kNone;
    // One that does not look sealed any more is what it is: bytes that mean nothing.
    if (CoverOf(as_changed).sealed) {
      EXPECT_FALSE(opened) << i;
    }
    EXPECT_EQ(changed, as_changed) << i;
  }
  for (std::size_t size = 4; size < sealed.size(); ++size) {
    std::string cut = sealed.substr(0, size);
    EXPECT_NE(sealer_.Open(keys_, place_, cut), SealFault::kNone) << size;
  }
}

TEST_F(Sealing, NowhereElseDoesItOpen) {
  const std::string sealed = sealer_.Seal(*keys_.Find("k1"), place_, "value");
  const std::vector<Place> others = {
      {.field = Place::Field::kSpec, .log_id = 7, .gid = "order-1"},
      {.field = Place::Field::kState, .log_id = 8, .gid = "order-1"},
      {.field = Place::Field::kState, .log_id = 7, .gid = "order-2"},
      {.field = Place::Field::kState, .log_id = 7, .gid = "order-10"},
      {.field = Place::Field::kState, .log_id = 7, .gid = ""},
  };
  for (const Place& other : others) {
    std::string value = sealed;
    EXPECT_EQ(sealer_.Open(keys_, other, value), SealFault::kForged);
    EXPECT_EQ(value, sealed);
  }
}

TEST_F(Sealing, AKeyThatIsMissingIsToldFromAnother) {
  std::string sealed = sealer_.Seal(*keys_.Find("k1"), place_, "value");
  const Keys without = *Keys::Parse(Line("k2", 'b'));
  EXPECT_EQ(sealer_.Open(without, place_, sealed), SealFault::kNoKey);
  const Keys another = *Keys::Parse(Line("k1", 'c'));
  EXPECT_EQ(sealer_.Open(another, place_, sealed), SealFault::kOtherKey);
  EXPECT_EQ(sealer_.Open(keys_, place_, sealed), SealFault::kNone);
}

}  // namespace
}  // namespace assent::crypt

#include "coordinator/security/tokens.h"

#include <string>

#include <gtest/gtest.h>

namespace assent::security {
namespace {

constexpr std::int64_t kDay = 86'400'000;
// 2027-02-01T00:00:00Z, by `date -u -d 2027-02-01 +%s`.
constexpr std::int64_t kFebruary = 1'801'440'000'000;

std::string Random(char seed) {
  std::string bytes(kTokenSecretBytes + kTokenSaltBytes, seed);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(seed + 3 * i);
  return bytes;
}

MadeToken Made(const std::string& name, const std::string& until = "", char seed = 'a') {
  const auto made = MakeToken(name, until, Random(seed));
  EXPECT_TRUE(made.ok()) << made.status().message();
  return *made;
}

TEST(Tokens, WhatWasMadeIsFound) {
  const MadeToken made = Made("support");
  EXPECT_TRUE(made.token.starts_with("assent_support_"));
  const auto tokens =
      Tokens::Parse("# ours\n" + made.line + "\n" + Made("other", "", 'q').line + "\n");
  ASSERT_TRUE(tokens.ok()) << tokens.status().message();
  const auto found = tokens->Find(made.token, 0);
  EXPECT_EQ(found.fault, TokenFault::kNone);
  EXPECT_EQ(found.name, "support");
}

// By another program: printf 'SALT TOKEN' | sha256sum, over the bytes of Random('a').
TEST(Tokens, TheFileHasNoToken) {
  const MadeToken made = Made("support");
  const std::string secret = made.token.substr(made.token.rfind('_') + 1);
  EXPECT_EQ(secret.size(), 2 * kTokenSecretBytes);
  EXPECT_EQ(made.line.find(secret), std::string::npos);
  EXPECT_EQ(made.line.find(secret.substr(0, 16)), std::string::npos);
}

TEST(Tokens, AnythingElseIsNone) {
  const MadeToken made = Made("support");
  const auto tokens = Tokens::Parse(made.line + "\n");
  std::string changed = made.token;
  changed.back() = changed.back() == '0' ? '1' : '0';
  const std::string bad[] = {
      "",
      "assent_",
      "assent__",
      "support",
      changed,
      made.token + "0",
      made.token.substr(0, made.token.size() - 1),
      made.token.substr(7),
      Made("support", "", 'z').token,
      Made("other").token,
      "assent_support_" + std::string(1 << 20, 'f'),
      std::string(2 * kTokenSecretBytes, '0'),
  };
  for (const std::string& token : bad) {
    const auto found = tokens->Find(token, 0);
    EXPECT_EQ(found.fault, TokenFault::kUnknown) << token.substr(0, 100);
    EXPECT_EQ(found.name, "");
  }
}

TEST(Tokens, EndWithTheirDay) {
  const MadeToken made = Made("support", "2027-01-31");
  const auto tokens = Tokens::Parse(made.line + "\n");
  ASSERT_TRUE(tokens.ok()) << tokens.status().message();
  EXPECT_EQ(tokens->Find(made.token, kFebruary - 1).fault, TokenFault::kNone);
  EXPECT_EQ(tokens->Find(made.token, kFebruary).fault, TokenFault::kExpired);
  EXPECT_EQ(tokens->Find(made.token, kFebruary + kDay).fault, TokenFault::kExpired);
}

TEST(Tokens, WhatIsWrongIsSaidWithItsLineAndWithoutTheSecret) {
  const std::string line = Made("support").line;
  const std::string token = Made("support").token;
  const std::pair<std::string, const char*> faults[] = {
      {"Support " + line.substr(8), "is no name of a token"},
      {std::string(kMaxTokenNameBytes + 1, 'a') + line.substr(7), "is no name of a token"},
      {"support", "SALT:HASH does not follow"},
      {"support " + token, "SALT:HASH does not follow"},
      {line + " until", "or until YYYY-MM-DD"},
      {line + " until 2027-02-29", "or until YYYY-MM-DD"},
      {line + " until 27-02-01", "or until YYYY-MM-DD"},
      {line + " for 2027-02-01", "or until YYYY-MM-DD"},
      {line + " until 2027-02-01 or so", "something behind the date"},
      {line + "\n" + line, "two tokens named support"},
      {line, "it does not end, so that it may have been cut"},
  };
  for (const auto& [text, words] : faults) {
    const auto tokens = Tokens::Parse(text);
    ASSERT_FALSE(tokens.ok()) << text;
    EXPECT_TRUE(tokens.status().message().starts_with("line ")) << tokens.status().message();
    EXPECT_NE(tokens.status().message().find(words), std::string::npos)
        << tokens.status().message();
    EXPECT_EQ(tokens.status().message().find(token), std::string::npos);
  }
  EXPECT_FALSE(Tokens::Parse(std::string(kMaxTokensBytes + 1, '\n')).ok());
  EXPECT_FALSE(MakeToken("No", "", Random('a')).ok());
  EXPECT_FALSE(MakeToken("no", "tomorrow", Random('a')).ok());
}

}  // namespace
}  // namespace assent::security

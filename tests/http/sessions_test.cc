// Sessions of the console, with a clock of the test's.

#include "coordinator/http/sessions.h"

#include <chrono>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace assent::http {
namespace {

using std::chrono::milliseconds;

class SessionsTest : public testing::Test {
 protected:
  std::string Begin(const std::string& identity = "token:ann",
                    const std::string& shown = "Bearer secret") {
    const auto secret = sessions_.Begin(identity, shown, now_);
    EXPECT_TRUE(secret.ok()) << secret.status().message();
    return secret.ok() ? *secret : "";
  }

  Sessions sessions_;
  Sessions::TimePoint now_{milliseconds(1'000'000)};
};

TEST_F(SessionsTest, WhatWasShownIsFoundByTheSecretAlone) {
  const std::string secret = Begin();
  EXPECT_EQ(secret.size(), 2 * kSessionSecretBytes);
  EXPECT_EQ(sessions_.Find(secret, now_), "Bearer secret");
  for (std::size_t i = 0; i < secret.size(); ++i) {
    std::string other = secret;
    other[i] = other[i] == '0' ? '1' : '0';
    EXPECT_FALSE(sessions_.Find(other, now_));
  }
  EXPECT_FALSE(sessions_.Find("", now_));
  std::set<std::string> all;
  for (int i = 0; i < 10; ++i) all.insert(Begin("token:" + std::to_string(i)));
  EXPECT_EQ(all.size(), 10U);
}

TEST_F(SessionsTest, WhatPagesShowSaysNothingOfTheSecret) {
  const std::string secret = Begin();
  const std::string csrf = Sessions::CsrfOf(secret);
  EXPECT_NE(csrf, secret);
  EXPECT_EQ(csrf, Sessions::CsrfOf(secret));
  EXPECT_NE(csrf, Sessions::CsrfOf(Begin()));
  EXPECT_FALSE(sessions_.Find(csrf, now_));
  EXPECT_TRUE(IsSameSecret(csrf, csrf));
  EXPECT_FALSE(IsSameSecret(csrf, csrf.substr(1)));
  EXPECT_FALSE(IsSameSecret(csrf, secret));
}

TEST_F(SessionsTest, WhoAsksNothingIsForgotten) {
  const std::string secret = Begin();
  now_ += milliseconds(kMaxSessionIdleMs - 1);
  EXPECT_TRUE(sessions_.Find(secret, now_));
  now_ += milliseconds(kMaxSessionIdleMs - 1);
  EXPECT_TRUE(sessions_.Find(secret, now_));
  now_ += milliseconds(kMaxSessionIdleMs);
  EXPECT_FALSE(sessions_.Find(secret, now_));
  EXPECT_EQ(sessions_.count(), 0U);
}

TEST_F(SessionsTest, WhoAsksAllTheTimeIsForgottenToo) {
  const std::string secret = Begin();
  const auto end = now_ + milliseconds(kMaxSessionMs);
  for (; now_ + milliseconds(kMaxSessionIdleMs / 2) < end;
       now_ += milliseconds(kMaxSessionIdleMs / 2))
    ASSERT_TRUE(sessions_.Find(secret, now_));
  EXPECT_TRUE(sessions_.Find(secret, end - milliseconds(1)));
  EXPECT_FALSE(sessions_.Find(secret, end));
}

TEST_F(SessionsTest, AnEndIsOne) {
  const std::string secret = Begin();
  EXPECT_EQ(sessions_.End(secret), "token:ann");
  EXPECT_FALSE(sessions_.Find(secret, now_));
  EXPECT_EQ(sessions_.End(secret), "");
}

TEST_F(SessionsTest, OfOneIdentityTheIdlestGoes) {
  const std::string other = Begin("token:ben");
  const std::string first = Begin();
  const std::string second = Begin();
  for (std::size_t i = 2; i < kMaxSessionsPerIdentityCount; ++i) (void)Begin();
  now_ += milliseconds(1);
  EXPECT_TRUE(sessions_.Find(first, now_));
  EXPECT_EQ(sessions_.count(), kMaxSessionsPerIdentityCount + 1);
  (void)Begin();
  EXPECT_EQ(sessions_.count(), kMaxSessionsPerIdentityCount + 1);
  EXPECT_TRUE(sessions_.Find(first, now_));
  EXPECT_TRUE(sessions_.Find(other, now_));
  // One of those that were idle; the first of them is as good as the others.
  now_ += milliseconds(1);
  (void)sessions_.Find(second, now_);
  EXPECT_EQ(sessions_.count(), kMaxSessionsPerIdentityCount + 1);
}

// All were refused until some had ended: whoever had many names kept everybody out.
TEST_F(SessionsTest, InAllThereAreSoManyAndWhoHasTheMostGivesOneAway) {
  const std::string ann = Begin("token:ann");
  now_ += milliseconds(1);
  const std::string idlest = Begin("token:many");
  now_ += milliseconds(1);
  const std::string later = Begin("token:many");
  for (std::size_t i = 3; i < kMaxSessionsCount; ++i) (void)Begin("token:" + std::to_string(i));
  EXPECT_EQ(sessions_.count(), kMaxSessionsCount);
  const std::string ben = Begin("token:ben");
  EXPECT_EQ(sessions_.count(), kMaxSessionsCount);
  EXPECT_FALSE(sessions_.Find(idlest, now_));
  for (const std::string& one : {ann, later, ben}) EXPECT_TRUE(sessions_.Find(one, now_));
  now_ += milliseconds(kMaxSessionIdleMs);
  (void)Begin("token:late");
  EXPECT_EQ(sessions_.count(), 1U);
}

}  // namespace
}  // namespace assent::http

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <unistd.h>
#include <utility>

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include "proto/tls/channel_credentials.h"

namespace assent::tls {
namespace {

// What OpenSSL says when it has taken itself down is 0. Handlers run in reverse order: this one,
// which is there first, comes after OpenSSL's own.
TEST(TlsTest, OpenSslIsThereToTheEndOfTheProgram) {
  EXPECT_EXIT(
      {
        std::atexit([] { _exit(OPENSSL_init_crypto(0, nullptr) == 1 ? 0 : 1); });
        KeepOpenSslToTheEnd();
        OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS, nullptr);
        std::exit(2);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(TlsTest, WhyThereIsNoConnection) {
  const std::string failed = "failed to connect to all addresses; last error: UNKNOWN: ipv4:x: ";
  for (const auto& [said, means] : std::initializer_list<std::pair<std::string, std::string>>{
           {failed + "Connection refused", "connection refused; is assentd running?"},
           {failed + "Socket closed", "socket closed as soon as it is dialled; does it want"},
           {failed + "Connection reset by peer", "connection reset by peer as soon as"},
           {"last error: UNKNOWN: unix:/run/assent: Broken pipe",
            "broken pipe as soon as it is dialled; are there too many connections?"},
           {failed + "wrong version number", "there is no TLS at that address"},
           {"nothing known", "nothing known; is assentd running?"},
           {"", "; is assentd running?"}}) {
    EXPECT_EQ(WhyUnconnected(said).substr(0, means.size()), means);
  }
}

}  // namespace
}  // namespace assent::tls

#include "coordinator/log/crc32c.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace assent::log {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32c, GivesThePublishedValues) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
}

TEST(Crc32c, TableAndInstructionAgreeAtEveryLengthAndInPieces) {
  std::mt19937 random(1);
  std::string data;
  for (int i = 0; i < 300; ++i) {
    const std::uint32_t whole = Crc32c(data);
    EXPECT_EQ(whole, internal::ExtendCrc32cByTable(0, data.data(), data.size()));
    const std::size_t cut = data.empty() ? 0 : random() % data.size();
    EXPECT_EQ(whole, ExtendCrc32c(ExtendCrc32c(0, data.data(), cut), data.data() + cut,
                                  data.size() - cut));
    data.push_back(static_cast<char>(random()));
  }
}

}  // namespace
}  // namespace assent::log

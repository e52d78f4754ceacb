#include "coordinator/discovery/dns/service_records.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::discovery::dns {
namespace {

using testing::HasSubstr;

std::string U16(unsigned value) {
  return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
}
std::string NameOf(const std::string& dotted) {
  std::string bytes;
  for (std::size_t at = 0; at < dotted.size();) {
    const std::size_t dot = std::min(dotted.find('.', at), dotted.size());
    bytes += static_cast<char>(dot - at);
    bytes += dotted.substr(at, dot - at);
    at = dot + 1;
  }
  return bytes + '\0';
}
struct Srv {
  unsigned priority, port;
  std::string target;
  unsigned ttl = 60;
};
std::string Answer(const std::vector<Srv>& records) {
  std::string bytes = U16(7) + U16(0x8180) + U16(1) + U16(static_cast<unsigned>(records.size())) +
                      U16(0) + U16(0) + NameOf("_a._tcp.x") + U16(33) + U16(1);
  for (const Srv& one : records) {
    const std::string data = U16(one.priority) + U16(0) + U16(one.port) + NameOf(one.target);
    bytes += U16(0xc00c) + U16(33) + U16(1) + U16(0) + U16(one.ttl) +
             U16(static_cast<unsigned>(data.size())) + data;
  }
  return bytes;
}

TEST(ServiceRecords, ThoseOfTheLowestPriority) {
  const auto records =
      ReadServiceRecords(Answer({{20, 1, "spare.x"}, {10, 2, "b.x", 5}, {10, 1, "a.x", 9}}));
  ASSERT_TRUE(records.ok()) << records.status().ToString();
  ASSERT_EQ(records->size(), 2U);
  EXPECT_EQ((*records)[0], (ServiceRecord{10, 1, "a.x", 9}));
  EXPECT_EQ((*records)[1], (ServiceRecord{10, 2, "b.x", 5}));
}

TEST(ServiceRecords, NoneIsSaidSo) {
  EXPECT_THAT(ReadServiceRecords(Answer({})).status().message(), HasSubstr("no SRV record"));
  EXPECT_THAT(ReadServiceRecords(Answer({{0, 0, ""}})).status().message(),
              HasSubstr("no SRV record"));
}

// Cut anywhere, and with any byte another: no answer is read beyond its end.
TEST(ServiceRecords, WhatCannotBeReadIsSaidSo) {
  const std::string whole = Answer({{10, 1, "a.x"}, {10, 2, "b.x"}});
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes)
    EXPECT_FALSE(ReadServiceRecords(whole.substr(0, bytes)).ok()) << bytes;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string bad = whole;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      (void)ReadServiceRecords(bad);
    }
  }
}

}  // namespace
}  // namespace assent::discovery::dns

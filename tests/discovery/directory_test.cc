// What is known of where services are, on bad days of whoever is asked.
#include "coordinator/discovery/directory.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::discovery {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Addresses(const Directory& directory, const std::string& service,
                                   bool http = false) {
  std::vector<std::string> addresses;
  for (const auto& endpoint : directory.Endpoints(service, http))
    addresses.push_back(endpoint.address);
  return addresses;
}

Directory Of(std::vector<std::string> addresses, bool loopback_allowed = false) {
  return Directory({{"pay", std::move(addresses)}}, {loopback_allowed});
}

TEST(Directory, WhatTheSettingsSayAndWhatWasFoundTogether) {
  Directory directory = Of({"10.9.9.9:1", "dns:pay.internal:7001", "dns:http://web:80/x"});
  EXPECT_THAT(Addresses(directory, "pay"), ElementsAre("10.9.9.9:1"));
  EXPECT_THAT(directory.Trouble("pay"),
              AllOf(HasSubstr("dns:pay.internal:7001: it is being looked for"),
                    HasSubstr("dns:http://web:80/x: ")));
  const auto news = directory.Take(0, std::vector<Place>{{"10.0.0.2", 7001}, {"10.0.0.1", 7001}});
  EXPECT_TRUE(news.changed);
  EXPECT_EQ(news.words, "found: 10.0.0.1:7001, 10.0.0.2:7001");
  EXPECT_THAT(Addresses(directory, "pay"),
              ElementsAre("10.0.0.1:7001", "10.0.0.2:7001", "10.9.9.9:1"));
  EXPECT_TRUE(directory.Take(1, std::vector<Place>{{"10.0.0.3", 80}}).changed);
  EXPECT_THAT(Addresses(directory, "pay", /*http=*/true), ElementsAre("http://10.0.0.3:80/x"));
  EXPECT_EQ(directory.Trouble("pay"), "");
  EXPECT_FALSE(directory.Take(1, std::vector<Place>{{"10.0.0.3", 80}}).changed);
}

// A registry that is away, is empty or returns garbage changes nothing.
TEST(Directory, WhatWasLastFoundStands) {
  Directory directory = Of({"dns:pay.internal:7001"});
  ASSERT_TRUE(directory.Take(0, std::vector<Place>{{"10.0.0.1", 7001}}).changed);
  const Result<std::vector<Place>> bad_days[] = {
      Unavailable("Timeout while contacting DNS servers"),
      std::vector<Place>{},
      std::vector<Place>{{"not an address", 7001}},
      std::vector<Place>{{"10.0.0.1", 0}},
  };
  for (const auto& found : bad_days) {
    const auto news = directory.Take(0, found);
    EXPECT_FALSE(news.changed);
    EXPECT_TRUE(news.is_trouble);
    EXPECT_THAT(news.words, HasSubstr("; what was last found stands"));
    EXPECT_EQ(directory.Take(0, found).words, "") << "said once";
    EXPECT_THAT(Addresses(directory, "pay"), ElementsAre("10.0.0.1:7001"));
    EXPECT_EQ(directory.Trouble("pay"), "");
  }
  EXPECT_EQ(directory.Take(0, std::vector<Place>{{"10.0.0.1", 7001}}).words,
            "found again: 10.0.0.1:7001");
}

TEST(Directory, WhoWasNeverFoundSaysWhy) {
  Directory directory = Of({"dns:pay.internal:7001"});
  const auto news = directory.Take(0, Unavailable("Domain name not found"));
  EXPECT_TRUE(news.changed) << "people are told";
  EXPECT_EQ(news.words, "Domain name not found");
  EXPECT_EQ(directory.Trouble("pay"), "dns:pay.internal:7001: Domain name not found");
}

TEST(Directory, TenThousandAddressesAreTheSameFew) {
  Directory directory = Of({"dns:pay.internal:7001"});
  std::vector<Place> many;
  for (int i = 0; i < 10'000; ++i)
    many.push_back({"10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1), 7001});
  const auto news = directory.Take(0, many);
  EXPECT_THAT(news.words, HasSubstr("it has 10000 addresses, of which 256 are dialled"));
  EXPECT_EQ(Addresses(directory, "pay").size(), kMaxPlacesOfNameCount);
  std::reverse(many.begin(), many.end());
  EXPECT_FALSE(directory.Take(0, many).changed) << "in whatever order they come";
}

TEST(Directory, WhoeverNamesAnInstanceItIsOne) {
  Directory directory(
      {{"pay", {"10.0.0.1:7001", "dns:a:7001", "dns:b:7001"}}, {"bill", {"dns:a:7001"}}}, {});
  ASSERT_EQ(directory.names().size(), 2U) << "a name is asked for once";
  EXPECT_THAT(directory.ServicesOf(0), ElementsAre("bill", "pay"));
  EXPECT_THAT(directory.NamesOf("pay"), ElementsAre(0, 1));
  EXPECT_THAT(directory.NamesOf("nobody"), IsEmpty());
  directory.Take(0, std::vector<Place>{{"10.0.0.1", 7001}, {"10.0.0.1", 7001}});
  directory.Take(1, std::vector<Place>{{"10.0.0.1", 7001}});
  EXPECT_THAT(Addresses(directory, "pay"), ElementsAre("10.0.0.1:7001"));
  EXPECT_THAT(Addresses(directory, "bill"), ElementsAre("10.0.0.1:7001"));
  EXPECT_EQ(directory.Endpoints("bill", false)[0].source, "--unary bill=dns:a:7001");
  EXPECT_EQ(directory.Endpoints("pay", false)[0].source,
            "--unary pay=10.0.0.1:7001, --unary pay=dns:a:7001, --unary pay=dns:b:7001");
  EXPECT_TRUE(directory.Take(0, std::vector<Place>{{"10.0.0.2", 7001}}).changed);
  EXPECT_EQ(directory.Endpoints("pay", false)[0].source,
            "--unary pay=10.0.0.1:7001, --unary pay=dns:b:7001");
}

TEST(Directory, OfManySettingsThatNameOneSomeAreShown) {
  std::vector<std::string> names;
  for (char c = 'a'; c <= 'l'; ++c) names.push_back(std::string("dns:") + c + ":1");
  Directory directory = Of(names);
  for (std::size_t name = 0; name < names.size(); ++name)
    directory.Take(name, std::vector<Place>{{"10.0.0.1", 1}});
  const std::string source = directory.Endpoints("pay", false)[0].source;
  EXPECT_EQ(std::count(source.begin(), source.end(), '='), std::ptrdiff_t{kMaxShownSettingsCount});
  EXPECT_THAT(source, EndsWith("--unary pay=dns:h:1, …"));
}

TEST(Directory, AddressesThatNobodyMeansAreLeftOut) {
  for (const char* host : {"0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::",
                           "fe80::1", "ff02::1", "::ffff:169.254.169.254", "::10.0.0.1", "pay"})
    EXPECT_NE(WhyUnusable(host, /*loopback_allowed=*/true), "") << host;
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_THAT(WhyUnusable(host, false), HasSubstr("--discover-loopback")) << host;
    EXPECT_EQ(WhyUnusable(host, true), "") << host;
  }
  for (const char* host : {"10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1", "2001:db8::1"})
    EXPECT_EQ(WhyUnusable(host, false), "") << host;
  Directory directory = Of({"dns:pay.internal:7001"});
  const auto news = directory.Take(0, std::vector<Place>{{"127.0.0.1", 7001}, {"10.0.0.1", 7001}});
  EXPECT_THAT(Addresses(directory, "pay"), ElementsAre("10.0.0.1:7001"));
  EXPECT_THAT(news.words, HasSubstr("127.0.0.1:7001 is left out: it is this machine itself"));
}

}  // namespace
}  // namespace assent::discovery

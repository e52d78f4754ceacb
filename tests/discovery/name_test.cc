#include "coordinator/discovery/name.h"

#include <gtest/gtest.h>

namespace assent::discovery {
namespace {

using Form = Name::Form;

TEST(Name, TellsWhatIsAskedForAndHowItIsDialled) {
  const Name plain = ParseName("dns:pay.internal:7001").value();
  EXPECT_EQ(plain.host, "pay.internal");
  EXPECT_EQ(plain.port, "7001");
  EXPECT_FALSE(plain.secure() || plain.http() || plain.by_service());
  EXPECT_EQ(EndpointOf(plain, {"10.0.0.1", 7001}),
            transport::Endpoint("10.0.0.1:7001", "pay.internal"));
  EXPECT_EQ(EndpointOf(plain, {"fd00::1", 7001}).address, "[fd00::1]:7001");

  const Name tls = ParseName("dns:tls:pay.internal:7001").value();
  EXPECT_EQ(tls.form, Form::kGrpcTls);
  EXPECT_EQ(EndpointOf(tls, {"10.0.0.1", 7001}),
            transport::Endpoint("tls:10.0.0.1:7001", "pay.internal"));

  const Name https = ParseName("dns:https://pay.internal:8443/assent").value();
  EXPECT_TRUE(https.secure() && https.http());
  EXPECT_EQ(EndpointOf(https, {"10.0.0.1", 8443}),
            transport::Endpoint("https://10.0.0.1:8443/assent", "pay.internal"));
  EXPECT_EQ(EndpointOf(ParseName("dns:http://pay:80/").value(), {"10.0.0.1", 80}),
            transport::Endpoint("http://10.0.0.1:80/", "pay"));

  const Name service = ParseName("dns:tls:_assent._tcp.pay.internal").value();
  EXPECT_TRUE(service.by_service());
  EXPECT_EQ(EndpointOf(service, {"10.0.0.1", 9, "a.pay.internal"}),
            transport::Endpoint("tls:10.0.0.1:9", "a.pay.internal"));
}

TEST(Name, OneThatIsNoneSaysWhy) {
  const std::pair<const char*, const char*> wrong[] = {
      {"consul:pay", "dns:"},
      {"dns:", "no name of a host"},
      {"dns:pay", "dns:_SERVICE._tcp.DOMAIN"},
      {"dns:pay:0", "a port from 1 to 65535"},
      {"dns:pay:", "a port from 1 to 65535"},
      {"dns:pay:70000", "a port from 1 to 65535"},
      {"dns:pay..internal:1", "no name of a host"},
      {"dns:a b:1", "no name of a host"},
      {"dns:10.0.0.1:7001", "stands without dns:"},
      {"dns:[::1]:7001", "no name of a host"},
      {"dns:dns:pay:1", "no name of a host"},
      {"dns:http://pay:80", "takes a path"},
      {"dns:http://me:secret@pay:80/", "no name of a host"},
  };
  for (const auto& [text, why] : wrong) {
    const auto name = ParseName(text);
    ASSERT_FALSE(name.ok()) << text;
    EXPECT_NE(name.status().message().find(why), std::string::npos)
        << text << ": " << name.status().message();
  }
  EXPECT_FALSE(ParseName("dns:" + std::string(kMaxDnsNameBytes + 1, 'a') + ":1").ok());
  EXPECT_TRUE(ParseName("dns:" + std::string(kMaxDnsNameBytes, 'a') + ":1").ok());
  EXPECT_FALSE(IsName("pay.internal:7001"));
}

}  // namespace
}  // namespace assent::discovery

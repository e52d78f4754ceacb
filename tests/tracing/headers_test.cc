// Files of headers: what is one, and what is none.

#include "coordinator/tracing/otlp/headers.h"

#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

namespace assent::tracing {
namespace {

TEST(Headers, Lines) {
  const Headers headers =
      ParseHeaders("# a token\r\nAuthorization: Bearer a:b c \r\n\n  X-Tenant:7\nX-Empty:").value();
  ASSERT_EQ(headers.size(), 3U);
  EXPECT_EQ(headers[0], (std::pair<std::string, std::string>("Authorization", "Bearer a:b c")));
  EXPECT_EQ(headers[1], (std::pair<std::string, std::string>("X-Tenant", "7")));
  EXPECT_EQ(headers[2], (std::pair<std::string, std::string>("X-Empty", "")));
  EXPECT_TRUE(ParseHeaders("").value().empty());
}

TEST(Headers, WhatIsNoneIsNamedByItsLineAlone) {
  for (const auto& [line, said] : std::vector<std::pair<std::string, std::string>>{
           {"hush", "line 2 is no \"Name: value\""},
           {": hush", "line 2 is no \"Name: value\""},
           {"Na me: hush", "line 2 is no \"Name: value\""},
           {"hush : hush", "line 2 is no \"Name: value\""},
           {"Content-Length: 3", "line 2 has a name that is the request's own"},
           {"hOST: hush", "line 2 has a name that is the request's own"},
           {"A: hu\x01sh", "line 2 has a value with other than printable ASCII"},
           {"A: hu\xc3\xa9sh", "line 2 has a value with other than printable ASCII"}}) {
    const auto headers = ParseHeaders("A: b\n" + line + "\nC: d\n");
    ASSERT_FALSE(headers.ok()) << line;
    EXPECT_EQ(headers.status().message(), said);
  }
}

TEST(Headers, Limits) {
  std::string text;
  for (std::size_t i = 0; i < kMaxHeadersCount; ++i) text += "A: b\n";
  EXPECT_EQ(ParseHeaders(text).value().size(), kMaxHeadersCount);
  EXPECT_EQ(ParseHeaders(text + "A: b").status().message(),
            "line 33 is one too many: there may be 32");

  const std::string file = ::testing::TempDir() + "headers." + std::to_string(::getpid());
  const auto read = [&file](const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
    return ReadHeaders(file);
  };
  EXPECT_EQ(read("A: b\n").value().size(), 1U);
  EXPECT_TRUE(read("").value().empty());
  EXPECT_TRUE(read(std::string(kMaxHeadersFileBytes, '\n')).ok());
  EXPECT_EQ(read(std::string(kMaxHeadersFileBytes + 1, '\n')).status().message(),
            "it has more than 16384 bytes");
  ASSERT_EQ(::unlink(file.c_str()), 0);
  EXPECT_EQ(ReadHeaders(file).status().message(), "it cannot be read");
  EXPECT_EQ(ReadHeaders(::testing::TempDir()).status().message(), "it cannot be read");
}

}  // namespace
}  // namespace assent::tracing

// What a machine reads must be readable by a machine, whatever the message holds.
#include "coordinator/daemon/logging.h"

#include <chrono>
#include <cstdint>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

namespace assent::daemon {
namespace {

std::string Line(bool json, const std::string& message) {
  std::ostringstream out;
  auto sink = std::make_shared<spdlog::sinks::ostream_sink_st>(out);
  sink->set_formatter(LogFormatter(json));
  spdlog::logger("test", sink).warn("{}", message);
  return out.str();
}

// `hint="a second signal stops at once"` of the drain once ended the JSON string in its middle.
TEST(LoggingTest, ALineOfJsonIsValidWhateverTheMessageHolds) {
  for (const std::string message : {R"(event=drain hint="a second signal")", R"(C:\new\table)",
                                    "two\nlines\tand\x01", "ä", ""}) {
    const nlohmann::json line = nlohmann::json::parse(Line(true, message), nullptr, false);
    ASSERT_TRUE(line.is_object()) << message;
    EXPECT_EQ(line["message"], message);
    EXPECT_EQ(line["level"], "warning");
    EXPECT_EQ(line["time"].get<std::string>().size(),
              std::string("2026-11-20T11:02:21.571Z").size());
  }
}

TEST(LoggingTest, BytesThatAreNotTextDoNotSpoilTheLine) {
  const nlohmann::json line = nlohmann::json::parse(Line(true,
                                                         "a\xff\xfe"
                                                         "b"),
                                                    nullptr, false);
  ASSERT_TRUE(line.is_object());
  EXPECT_EQ(line["message"], "a\uFFFD\uFFFDb");
}

TEST(LoggingTest, ALineOfTextIsTimeLevelMessage) {
  const std::string line = Line(false, R"(event=stopped hint="x")");
  ASSERT_GT(line.size(), 25U);
  EXPECT_EQ(line.substr(23), "Z warning event=stopped hint=\"x\"\n");
}

// A label with U+202E turned the line around, one with a line feed feigned another line.
TEST(LoggingTest, WhatNobodySeesIsEscaped) {
  const std::string message =
      "who=\"a\xe2\x80\xae"
      "b\nc\xc2\x9b\xf3\xa0\x81\x81\"";
  const std::string shown = R"(a\u202eb\u000ac\u009b\udb40\udc41)";
  EXPECT_NE(Line(false, message).find("who=\"" + shown + "\"\n"), std::string::npos)
      << Line(false, message);
  const std::string json = Line(true, message);
  EXPECT_NE(json.find("a\\u202eb\\nc\\u009b\\udb40\\udc41"), std::string::npos) << json;
  EXPECT_EQ(nlohmann::json::parse(json)["message"], message);
}

// protobuf writes a line for each text that is not UTF-8, as often as a peer likes.
TEST(LoggingTest, LinesOfLibrariesAreMeteredAndTheRestIsCounted) {
  const LibraryLogLimits limits{.max_lines_per_second_count = 2, .max_burst_lines_count = 3};
  LibraryLogMeter meter(limits);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t left_out = 0;
  int said = 0;
  for (int i = 0; i < 100; ++i) said += meter.Admit(start, left_out) ? 1 : 0;
  EXPECT_EQ(said, 3);
  EXPECT_EQ(left_out, 0U);
  EXPECT_TRUE(meter.Admit(start + std::chrono::milliseconds(600), left_out));
  EXPECT_EQ(left_out, 97U);
  EXPECT_FALSE(meter.Admit(start + std::chrono::milliseconds(601), left_out));
  EXPECT_EQ(meter.TakeLeftOut(), 1U);
  EXPECT_EQ(meter.TakeLeftOut(), 0U);
}

TEST(LoggingTest, WhatALibrarySaysIsOneLine) {
  EXPECT_EQ(OneLine("a \"b\"\nc\x1b[2J\n", 100), "a 'b' c [2J");
  EXPECT_EQ(OneLine("abcdef", 3), "abc…");
}

}  // namespace
}  // namespace assent::daemon

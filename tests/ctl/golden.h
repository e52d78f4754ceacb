#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace assent::ctl {

inline std::string GoldenPath(const std::string& name) {
  const char* source = std::getenv("ASSENT_SOURCE_DIR");
  return std::string(source != nullptr ? source : ".") + "/tests/ctl/golden/" + name;
}

inline std::string ReadGolden(const std::string& name) {
  std::ifstream file(GoldenPath(name), std::ios::binary);
  EXPECT_TRUE(file.good()) << "missing: " << GoldenPath(name);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

// A message from golden/NAME in protobuf's text format.
template <typename Message>
Message ReadMessage(const std::string& name) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(ReadGolden(name), &message)) << name;
  return message;
}

// Equal to golden/NAME, byte by byte; with ASSENT_UPDATE_GOLDEN set, becomes it (and says so by
// failing).
inline void ExpectGolden(const std::string& name, const std::string& actual) {
  if (std::getenv("ASSENT_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(GoldenPath(name), std::ios::binary) << actual;
    ADD_FAILURE() << "rewritten: " << name
                  << " (look at it, then run again without ASSENT_UPDATE_GOLDEN)";
    return;
  }
  EXPECT_EQ(ReadGolden(name), actual) << "golden file " << name;
}

}  // namespace assent::ctl

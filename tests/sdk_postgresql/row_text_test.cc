// The text of a row, as its columns.

#include "participant-sdk/cpp/postgresql/row_text.h"

#include <gtest/gtest.h>

namespace assent::postgresql::internal {
namespace {

TEST(RowText, ColumnsAsTheyWereWritten) {
  EXPECT_EQ(*ParseRow("(1,a b,)"), (Fields{"1", "a b", std::nullopt}));
  EXPECT_EQ(*ParseRow("()"), (Fields{std::nullopt}));
  EXPECT_EQ(*ParseRow("(,)"), (Fields{std::nullopt, std::nullopt}));
  EXPECT_EQ(*ParseRow(R"(("",","))"), (Fields{"", ","}));
  EXPECT_EQ(*ParseRow(R"((""""))"), (Fields{"\""}));
  EXPECT_EQ(*ParseRow(R"(("a ""b"" \\c",")(,"))"), (Fields{"a \"b\" \\c", ")(,"}));
  EXPECT_EQ(*ParseRow("(\"two\nlines\",x)"), (Fields{"two\nlines", "x"}));
}

TEST(RowText, WhatIsNoRow) {
  for (const char* text : {"", "(", "1,2", "(1", "1)", "(\"a)", "(\"a\"\")", "(a\\)"})
    EXPECT_EQ(ParseRow(text).status().code(), Code::kDataLoss) << text;
}

}  // namespace
}  // namespace assent::postgresql::internal

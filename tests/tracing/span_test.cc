// Which spans can be read, and which traces are kept.

#include "coordinator/tracing/span.h"

#include <gtest/gtest.h>

#include "coordinator/tracing/sampler.h"

namespace assent::tracing {
namespace {

TEST(Span, IsSoundWithItsIdsAndAName) {
  Span span;
  span.name = "a";
  EXPECT_FALSE(IsSound(span));
  span.trace_id.back() = 1;
  EXPECT_FALSE(IsSound(span));
  span.span_id.front() = 1;
  EXPECT_TRUE(IsSound(span));
  span.trace_id.back() = 0;
  EXPECT_FALSE(IsSound(span));
  span.trace_id.front() = 1;
  EXPECT_TRUE(IsSound(span));
  span.name.clear();
  EXPECT_FALSE(IsSound(span));
}

TraceId Id(std::uint64_t last_56_bits) {
  TraceId id{};
  id.fill(0xff);
  for (std::size_t i = 0; i < 7; ++i)
    id[id.size() - 1 - i] = static_cast<std::uint8_t>(last_56_bits >> (8 * i));
  return id;
}

TEST(Sampler, TakesTheUpperPart) {
  constexpr std::uint64_t kAll = std::uint64_t{1} << 56;
  EXPECT_TRUE(Sampler(1).Takes(Id(0)));
  EXPECT_FALSE(Sampler(0).Takes(Id(kAll - 1)));
  EXPECT_FALSE(Sampler(0.25).Takes(Id(kAll / 4 * 3 - 1)));
  EXPECT_TRUE(Sampler(0.25).Takes(Id(kAll / 4 * 3)));
  EXPECT_TRUE(Sampler(0.25).Takes(Id(kAll - 1)));
}

}  // namespace
}  // namespace assent::tracing

#pragma once

// Six things that happen to an order, each told in each of four ways of running it.

#include <cstdint>
#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/transaction.h>

#include "examples/order/driver/shop.h"
#include "examples/order/driver/teller.h"
#include "examples/order/order.h"

namespace demo {

// The three protocols, and all of them in one transaction.
enum class Style : std::uint8_t { kTwoPhase, kTcc, kSaga, kMixed };
inline constexpr Style kStyles[] = {Style::kTwoPhase, Style::kTcc, Style::kSaga, Style::kMixed};
const char* Name(Style style);   // "2pc"
const char* Title(Style style);  // one sentence on how it goes

// The transaction that places this order.
assent::Transaction Compose(Style style, const shop::Order& order);

struct Story {
  const char* name;   // "coordinator-killed"
  const char* title;  // "The coordinator is killed between decision and finish."
  const char* article;
  const char* customer;
  std::int64_t quantity;
  bool commits;  // how it must end
  // Plays it. OK: it went as the story goes and ended as it must; otherwise what was different.
  assent::Status (*play)(Shop& shop, Style style, const shop::Order& order, Teller& teller);
};
const std::vector<Story>& Stories();

}  // namespace demo

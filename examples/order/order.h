#pragma once

// The shop's one noun, and how it travels: every service gets the same order as its branch's
// payload, as JSON.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shop {

struct Order {
  std::string id;
  std::string customer;
  std::string article;
  std::int64_t quantity = 0;
  std::int64_t coins = 0;  // for all of it
};

std::string ToPayload(const Order& order);
// Empty when the payload is not an order; services refuse it.
std::optional<Order> FromPayload(std::string_view payload);

}  // namespace shop

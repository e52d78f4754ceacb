#include "examples/order/order.h"

#include <nlohmann/json.hpp>

namespace shop {

std::string ToPayload(const Order& order) {
  return nlohmann::json{{"id", order.id},
                        {"customer", order.customer},
                        {"article", order.article},
                        {"quantity", order.quantity},
                        {"coins", order.coins}}
      .dump();
}

std::optional<Order> FromPayload(std::string_view payload) {
  const nlohmann::json json = nlohmann::json::parse(payload, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  for (const char* name : {"id", "customer", "article"}) {
    if (!json.contains(name) || !json[name].is_string()) return std::nullopt;
  }
  for (const char* name : {"quantity", "coins"}) {
    if (!json.contains(name) || !json[name].is_number_integer() ||
        json[name].get<std::int64_t>() <= 0) {
      return std::nullopt;
    }
  }
  return Order{.id = json["id"],
               .customer = json["customer"],
               .article = json["article"],
               .quantity = json["quantity"],
               .coins = json["coins"]};
}

}  // namespace shop

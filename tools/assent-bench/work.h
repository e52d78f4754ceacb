#pragma once

// What two sides of a comparison did for a transaction: only those that do the same can be
// compared.

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tools/assent-bench/fleet.h"

namespace assent::bench {

class WorkTable {
 public:
  // A round of each.
  void Add(const Measurement& left, const Measurement& right);
  // [{"what": "messages", <left>: 10.0, <right>: 10.0}, …]; medians over the rounds.
  nlohmann::json ToJson(const char* left, const char* right) const;
  void Print(const std::string& title, const char* left, const char* right) const;

 private:
  struct Row {
    std::string name;
    std::vector<double> left;
    std::vector<double> right;
  };
  std::vector<Row> rows_;
};

}  // namespace assent::bench

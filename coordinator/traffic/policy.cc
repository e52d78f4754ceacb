#include "coordinator/traffic/policy.h"

#include <algorithm>

namespace assent::traffic {

unsigned Policy::WeightOf(const std::string& instance, const std::string& address) const {
  const auto by_name = weights.find(instance);
  if (by_name != weights.end()) return by_name->second;
  const auto by_address = weights.find(address);
  return by_address != weights.end() ? by_address->second : 1;
}

bool Policy::IsNear(const std::string& instance, const std::string& address) const {
  return near.empty() || std::any_of(near.begin(), near.end(), [&](const std::string& prefix) {
           return instance.rfind(prefix, 0) == 0 || address.rfind(prefix, 0) == 0;
         });
}

const Policy& Policies::Of(const std::string& service) const {
  const auto found = by_service.find(service);
  return found == by_service.end() ? all : found->second;
}

}  // namespace assent::traffic

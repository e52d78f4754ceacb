#include "coordinator/engine/initiators.h"

namespace assent::engine {

void Initiators::Add(const Name& name, std::size_t transactions, std::size_t bytes) {
  if (name == nullptr) return;
  const MutexLock lock(mutex_);
  Use& use = uses_[*name];
  use.transactions += transactions;
  use.bytes += bytes;
}

void Initiators::Remove(const Name& name, std::size_t transactions, std::size_t bytes) {
  if (name == nullptr) return;
  const MutexLock lock(mutex_);
  const auto found = uses_.find(*name);
  ASSENT_CHECK(found != uses_.end() && found->second.transactions >= transactions &&
               found->second.bytes >= bytes);
  found->second.transactions -= transactions;
  found->second.bytes -= bytes;
  if (found->second.transactions == 0) uses_.erase(found);
}

Status Initiators::Check(const Name& name, const Allowance& allowance, std::size_t transactions,
                         std::size_t bytes) {
  if (name == nullptr || !allowance.limits()) return OkStatus();
  const std::string who = name->empty() ? "who is not known" : *name;
  const MutexLock lock(mutex_);
  const auto found = uses_.find(*name);
  const Use use = found == uses_.end() ? Use() : found->second;
  if (use.transactions + transactions > allowance.max_transactions_count) {
    ++refused_.transactions;
    return ResourceExhausted(who + " has " + std::to_string(use.transactions) +
                             " transactions under way, the limit is " +
                             std::to_string(allowance.max_transactions_count) +
                             ": nothing was begun; wait for some to end, and try again");
  }
  if (bytes > 0 && use.bytes + bytes > allowance.max_bytes) {
    ++refused_.bytes;
    return ResourceExhausted("the transactions of " + who + " have " + std::to_string(use.bytes) +
                             " bytes of payloads and results, " + std::to_string(bytes) +
                             " more are beyond the limit of " +
                             std::to_string(allowance.max_bytes) +
                             ": nothing was begun; wait for some to end, and try again");
  }
  return OkStatus();
}

Initiators::Refused Initiators::refused() const {
  const MutexLock lock(mutex_);
  return refused_;
}

std::size_t Initiators::size() const {
  const MutexLock lock(mutex_);
  return uses_.size();
}

}  // namespace assent::engine

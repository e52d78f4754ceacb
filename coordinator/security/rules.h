#pragma once

// The file that says who may what, a sentence a line:
//
//   allow spiffe://shop/checkout as initiator for payment, stock (reserve) with gids order-
//   allow dns:payment.shop as participant for payment
//   allow token:dashboard as viewer
//   allow token:support as operator with payloads
//   allow cn:ann as admin
//   allow spiffe://shop/assent/* as coordinator
//
// What no line allows is denied. An identity that ends with '*' is all that begin so; "anyone" is
// also who is not known. A '#' begins a comment. docs/security.md has the whole.

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/security/grants.h"

namespace assent::security {

inline constexpr std::size_t kMaxRulesBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxRulesCount = 10'000;
inline constexpr std::size_t kMaxScopesPerRuleCount = 256;

// Immutable.
class Rules {
 public:
  // INVALID_ARGUMENT: "line 3: …", what is wrong and what it takes.
  static Result<Rules> Parse(std::string_view text);

  // What is given to this identity; empty: who is not known. The rules outlive it.
  Grants For(std::string_view identity) const;
  const std::deque<Rule>& all() const { return rules_; }

 private:
  std::deque<Rule> rules_;
};

// Who an identity can be: "spiffe://…" and other URIs of a certificate, "dns:NAME", "cn:NAME",
// "token:NAME", "jwt:SUBJECT", "unix"; a rule's may be "anyone" or end with '*'.
Status CheckIdentity(std::string_view identity);

}  // namespace assent::security

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
//   limit spiffe://shop/* to 200 requests per second, 1000 transactions, 64 MiB, 10 sessions
//
// What no line allows is denied. An identity that ends with '*' is all that begin so; "anyone" is
// also who is not known. A '#' begins a comment. Each line ends with a newline, the last one too: a
// file that was cut in a line is known by it. docs/security.md has the whole.

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/security/grants.h"
#include "coordinator/security/limit_line.h"

namespace assent::security {

inline constexpr std::size_t kMaxRulesBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxRulesCount = 10'000;
inline constexpr std::size_t kMaxScopesPerRuleCount = 256;

// Immutable.
class Rules {
 public:
  // INVALID_ARGUMENT: "line 3: …", what is wrong and what it takes.
  static Result<Rules> Parse(std::string_view text);

  // What is given to this identity; empty: who is not known. The rules outlive it. What it takes is
  // counted in its account.
  Grants For(std::string_view identity, AccountPtr account = {}) const;
  // How much it may: of each figure what the line has that names it most exactly.
  Quota QuotaOf(std::string_view identity) const;
  const std::deque<Rule>& all() const { return rules_; }
  const std::deque<Limit>& limits() const { return limits_; }

 private:
  std::deque<Rule> rules_;
  std::deque<Limit> limits_;  // those that name one most exactly first
};

// Who an identity can be: "spiffe://…" and other URIs of a certificate, "dns:NAME", "cn:NAME",
// "token:NAME", "jwt:SUBJECT", "unix:UID"; a rule's may be "anyone", "unix" (any user of this
// machine who gets to the socket) or end with '*'.
Status CheckIdentity(std::string_view identity);

}  // namespace assent::security

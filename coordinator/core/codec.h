#pragma once

// Transactions as bytes, for the log. The grammar, its versions and an example are in FORMAT.md
// beside this file. Decoding takes nothing on trust: damaged or foreign bytes give kDataLoss, never
// a wrong transaction.

#include <optional>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/core/transaction.h"

namespace assent::core {

// What the state of a row says that a person has taken out of service, with the bytes that it had:
// as a transaction nobody reads it any more.
struct OutOfService {
  Actor actor{};
  WallTime at{};
  bool sound = true;  // what follows was
  std::string gid{};
  std::string state{};
};

class Codec {
 public:
  // The immutable part: what the initiator asked for at the beginning. Equal specs have equal
  // bytes, so that a repeated Submit is recognised by comparison.
  static std::string EncodeSpec(const Transaction& transaction);
  static std::string EncodeSpec(const TransactionSpec& spec);
  // One branch, for comparing a repeated ExecuteBranch.
  static std::string EncodeBranchSpec(const BranchSpec& spec);
  // All that may change.
  static std::string EncodeState(const Transaction& transaction);

  static std::string EncodeState(const OutOfService& row);
  static std::optional<OutOfService> DecodeOutOfService(std::string_view state);

  // kDataLoss also of a row that is out of service: by whom and why.
  static Result<Transaction> Decode(const std::string& gid, std::string_view spec,
                                    std::string_view state);

 private:
  static std::uint64_t StateVersionOf(const Transaction& transaction);
};

}  // namespace assent::core

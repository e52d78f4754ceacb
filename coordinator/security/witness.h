#pragma once

// What a door has seen of those who came, for the record of what people do.

#include <cstdint>
#include <string>

#include <assent/status.h>

namespace assent::security {

struct Sighting {
  enum class Kind : std::uint8_t {
    kRefused,  // a call that was not let in
    kLogin,    // also one that failed
    kLogout,
  };
  Kind kind = Kind::kRefused;
  std::string identity{};  // who is proven; empty: nobody
  std::string claims{};    // who he says that he is
  std::string address{};   // that it came from
  std::string call{};      // what was asked: "TransactionService/Abort", "POST /v1/login"
  Status status{};         // OK: it was let in
};

// Thread-safety: all of it, from any thread.
class Witness {
 public:
  virtual ~Witness() = default;
  // Nobody waits for it, and it cannot fail: of those that come too often, only how many is noted.
  // No secret is ever in a sighting.
  virtual void Note(Sighting sighting) = 0;
};

}  // namespace assent::security

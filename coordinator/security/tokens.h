#pragma once

// Tokens: who shows one is "token:NAME". A token is "assent_NAME_SECRET"; the file has of each a
// line with its name, a salt and the SHA-256 of salt and token, and when it ends:
//
//   support  8f0c…:51b7…  until 2027-01-31
//
// The last line ends with a newline as well: one that was cut could have lost its date.
// A secret is 32 random bytes, so that one round of a fast hash is enough: nobody guesses those.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::security {

inline constexpr std::size_t kMaxTokensBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxTokenNameBytes = 64;
// Of [a-z0-9.-].
bool IsTokenName(std::string_view name);
inline constexpr std::size_t kMaxTokenBytes = 160;
inline constexpr std::size_t kTokenSecretBytes = 32;
inline constexpr std::size_t kTokenSaltBytes = 16;

enum class TokenFault : std::uint8_t { kNone, kUnknown, kExpired };

// Immutable.
class Tokens {
 public:
  // What a token begins with, and no JWT does.
  static constexpr std::string_view kPrefix = "assent_";

  // INVALID_ARGUMENT: "line 3: …".
  static Result<Tokens> Parse(std::string_view text);

  struct Found {
    TokenFault fault = TokenFault::kUnknown;
    std::string name{};  // of an expired one too
    std::int64_t until_unix_ms = std::numeric_limits<std::int64_t>::max();
  };
  // In the same time, whatever of it is wrong.
  Found Find(std::string_view token, std::int64_t now_unix_ms) const;
  bool empty() const { return tokens_.empty(); }

 private:
  struct Token {
    std::string salt;
    std::string hash;
    std::optional<std::int64_t> until_unix_ms;
  };
  std::map<std::string, Token, std::less<>> tokens_;
};

// A new token of this name, from `random` bytes (kTokenSecretBytes + kTokenSaltBytes of them), and
// its line in the file. `until`: "2027-01-31", or nothing.
struct MadeToken {
  std::string token;
  std::string line;
};
Result<MadeToken> MakeToken(std::string_view name, std::string_view until, std::string_view random);

}  // namespace assent::security

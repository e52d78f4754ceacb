#include "coordinator/security/tokens.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <assent/number.h>
#include <assent/text.h>

namespace assent::security {
namespace {

constexpr std::size_t kHashBytes = 32;
constexpr std::string_view kHexDigits = "0123456789abcdef";

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kHexDigits[byte >> 4];
    hex += kHexDigits[byte & 15];
  }
  return hex;
}

std::optional<std::string> Unhex(std::string_view hex, std::size_t bytes_count) {
  if (hex.size() != 2 * bytes_count) return {};
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const std::size_t high = kHexDigits.find(hex[i]);
    const std::size_t low = kHexDigits.find(hex[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return {};
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::string HashOf(std::string_view salt, std::string_view token) {
  const std::string salted = std::string(salt).append(token);
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  ASSENT_CHECK(
      EVP_Digest(salted.data(), salted.size(), hash.data(), &size, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(hash.data()), size};
}

Status NoName(std::string_view name) {
  return InvalidArgument("\"" + CleanText(name, 100) + "\" is no name of a token: it takes 1 to " +
                         std::to_string(kMaxTokenNameBytes) + " of [a-z0-9.-]");
}

// The end of a day in UTC: "2027-01-31".
std::optional<std::int64_t> EndOfDay(std::string_view day) {
  int year = 0;
  unsigned month = 0;
  unsigned date = 0;
  if (day.size() != 10 || day[4] != '-' || day[7] != '-' || !ReadNumber(day.substr(0, 4), year) ||
      !ReadNumber(day.substr(5, 2), month) || !ReadNumber(day.substr(8, 2), date))
    return {};
  const std::chrono::year_month_day then{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(date)};
  if (!then.ok()) return {};
  const std::chrono::sys_days next = std::chrono::sys_days(then) + std::chrono::days(1);
  return std::chrono::duration_cast<std::chrono::milliseconds>(next.time_since_epoch()).count();
}

std::string_view NextWord(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

bool IsTokenName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxTokenNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

Result<Tokens> Tokens::Parse(std::string_view text) {
  if (text.size() > kMaxTokensBytes) {
    return InvalidArgument("it has " + std::to_string(text.size()) + " bytes, the limit is " +
                           std::to_string(kMaxTokensBytes));
  }
  Tokens tokens;
  const bool is_cut = !text.empty() && text.back() != '\n';
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string_view name = NextWord(line);
    if (name.empty() || name.starts_with('#')) continue;
    const auto wrong = [&](const std::string& what) {
      return InvalidArgument("line " + std::to_string(number) + ": " + what);
    };
    if (!IsTokenName(name)) return wrong(NoName(name).message());
    const std::string_view salted = NextWord(line);
    const std::size_t colon = std::min(salted.find(':'), salted.size());
    const auto salt = Unhex(salted.substr(0, colon), kTokenSaltBytes);
    const auto hash = Unhex(salted.substr(std::min(colon + 1, salted.size())), kHashBytes);
    // What stands there may be a token itself: it is not shown.
    if (!salt || !hash)
      return wrong("SALT:HASH does not follow the name, as `assentctl auth token` writes it");
    Token token{*salt, *hash, {}};
    const std::string_view until = NextWord(line);
    if (!until.empty()) {
      token.until_unix_ms = until == "until" ? EndOfDay(NextWord(line)) : std::nullopt;
      if (!token.until_unix_ms)
        return wrong("after SALT:HASH it takes nothing, or until YYYY-MM-DD");
    }
    if (!NextWord(line).empty()) return wrong("there is something behind the date");
    if (!tokens.tokens_.emplace(name, std::move(token)).second)
      return wrong("there are two tokens named " + std::string(name));
    if (is_cut && text.empty()) {
      return wrong(
          "it does not end, so that it may have been cut, and have lost its date: end it with a "
          "newline");
    }
  }
  return tokens;
}

Tokens::Found Tokens::Find(std::string_view token, std::int64_t now_unix_ms) const {
  // Who is not there is compared like who is.
  static const Token kNobody{std::string(kTokenSaltBytes, '\0'), std::string(kHashBytes, '\0'), {}};
  std::string_view name;
  if (token.starts_with(kPrefix) && token.size() <= kMaxTokenBytes) {
    name = token.substr(kPrefix.size());
    name = name.substr(0, std::min(name.rfind('_'), name.size()));
  }
  const auto found = tokens_.find(name);
  const Token& there = found == tokens_.end() ? kNobody : found->second;
  const std::string hash = HashOf(there.salt, token.substr(0, kMaxTokenBytes + 1));
  const bool same = CRYPTO_memcmp(hash.data(), there.hash.data(), kHashBytes) == 0;
  if (!same || found == tokens_.end()) return {};
  Found shown{TokenFault::kNone, std::string(name)};
  if (there.until_unix_ms) shown.until_unix_ms = *there.until_unix_ms;
  if (now_unix_ms >= shown.until_unix_ms) shown.fault = TokenFault::kExpired;
  return shown;
}

Result<MadeToken> MakeToken(std::string_view name, std::string_view until,
                            std::string_view random) {
  if (!IsTokenName(name)) return NoName(name);
  if (!until.empty() && !EndOfDay(until))
    return InvalidArgument("\"" + CleanText(until, 100) + "\" is no day: it takes YYYY-MM-DD");
  ASSENT_CHECK(random.size() == kTokenSecretBytes + kTokenSaltBytes);
  MadeToken made;
  made.token.append(Tokens::kPrefix)
      .append(name)
      .append("_")
      .append(Hex(random.substr(0, kTokenSecretBytes)));
  const std::string_view salt = random.substr(kTokenSecretBytes);
  made.line = std::string(name) + " " + Hex(salt) + ":" + Hex(HashOf(salt, made.token));
  if (!until.empty()) made.line.append(" until ").append(until);
  return made;
}

}  // namespace assent::security

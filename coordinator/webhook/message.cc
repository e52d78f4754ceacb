#include "coordinator/webhook/message.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include <assent/text.h>

#include "coordinator/base/read_file.h"

namespace assent::webhook {
namespace {

constexpr std::size_t kIdBytes = 16;

using Digest = std::array<unsigned char, EVP_MAX_MD_SIZE>;

std::string Hex(const Digest& digest, std::size_t bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (std::size_t i = 0; i < bytes; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

std::string Rfc3339(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  (void)::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string ms = std::to_string(1000 + unix_ms % 1000);
  return std::string(text.data(), size) + "." + ms.substr(1) + "Z";
}

// A gid has no other character that an address would not take as it is.
std::string InAddress(const std::string& gid) {
  std::string text;
  for (const char c : gid) text += c == ':' ? std::string("%3A") : std::string(1, c);
  return text;
}

}  // namespace

Result<std::string> ReadSecret(const std::string& file) {
  Result<std::string> read = base::ReadAtMost(file, kMaxSecretBytes + 1);  // and its line's end
  if (!read.ok()) return read.status();
  std::string secret = *std::move(read);
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  if (secret.size() >= kMinSecretBytes && secret.size() <= kMaxSecretBytes) return secret;
  return InvalidArgument("a secret has " + std::to_string(kMinSecretBytes) + " to " +
                         std::to_string(kMaxSecretBytes) + " bytes");
}

std::string IdOf(const Event& event) {
  std::string text = event.kind + '\n' + event.gid + '\n' + event.since;
  for (const Branch& branch : event.branches) text += '\n' + branch.id;
  Digest digest{};
  ASSENT_CHECK(
      EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return Hex(digest, kIdBytes);
}

std::string Body(const Event& event, const std::string& id, const Teller& teller) {
  nlohmann::ordered_json body;
  body["id"] = id;
  body["kind"] = event.kind;
  body["gid"] = event.gid;
  body["branches"] = nlohmann::ordered_json::array();
  for (const Branch& branch : event.branches) {
    body["branches"].push_back(
        {{"id", branch.id}, {"service", branch.service}, {"action", branch.action}});
  }
  body["why"] = CleanText(event.why);
  body["time"] = Rfc3339(event.unix_ms);
  body["coordinator"] = teller.coordinator;
  if (!teller.node.empty()) body["node"] = teller.node;
  if (!teller.console.empty())
    body["console"] = teller.console + "/#/transactions/" + InAddress(event.gid);
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace assent::webhook

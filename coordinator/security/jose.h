#pragma once

// What JWTs and sets of keys are written in: base64url without padding (RFC 7515, section 2), and
// JSON. Strict: what two readers could take for two things is nothing.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace assent::security {

inline constexpr int kMaxJoseDepth = 8;

// Nothing: a character that is none of its own, padding, bits left over, or a length that none has.
std::optional<std::string> FromBase64Url(std::string_view text);

// One object in UTF-8, nested at most kMaxJoseDepth deep. Nothing: it is something else, or a name
// stands twice in it, at any depth; or there is more than the object: a NUL and what stands behind
// it, a mark of byte order before it.
std::optional<nlohmann::json> ReadObject(std::string_view text);

// The text of that name; nothing: there is none, or it is no text.
std::optional<std::string> TextOf(const nlohmann::json& object, const char* name);

}  // namespace assent::security

#pragma once

// The proof of who has posted something.

#include <cstdint>
#include <string>

namespace assent::post {

// The value of Assent-Signature: "t=SECONDS,v1=HEX", an HMAC-SHA256 of "SECONDS.BODY".
std::string Sign(const std::string& secret, std::int64_t unix_s, const std::string& body);

}  // namespace assent::post

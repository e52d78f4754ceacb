#pragma once

// Where something is posted to.

#include <cstddef>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::post {

// Of a URL.
inline constexpr std::size_t kMaxPathBytes = 1024;

// Of https://, if the URL has none.
inline constexpr const char* kSecurePort = "443";

struct Target {
  bool secure = false;  // https://
  std::string host;     // a name or an address, without brackets
  std::string port;
  std::string path;       // from its slash on
  std::string authority;  // host and port, as in the URL
};

// kInvalidArgument: it is not http://HOST:PORT/PATH or https://HOST:PORT/PATH, of which the second
// may be without a port. User names, queries and fragments are refused: they would be shown with
// the settings.
Result<Target> ParseUrl(std::string_view url);

}  // namespace assent::post

#pragma once

// The OpenAPI 3 document of everything that this port serves, made from the table of routes and the
// messages' own descriptions.

#include <string>
#include <string_view>
#include <vector>

namespace assent::http {

inline constexpr std::string_view kLivePath = "/livez";
inline constexpr std::string_view kReadyPath = "/readyz";
inline constexpr std::string_view kMetricsPath = "/metrics";
inline constexpr std::string_view kOpenApiPath = "/v1/openapi.json";

// What is served beside the calls of routes.h, all by GET; and the login (login.h).
struct OtherRoute {
  std::string_view path;
  const char* id;
  const char* type;
  const char* summary;
};
const std::vector<OtherRoute>& OtherRoutes();

// Made once.
const std::string& OpenApi(const std::string& version);

}  // namespace assent::http

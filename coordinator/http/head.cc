#include "coordinator/http/head.h"

#include <boost/beast/http/status.hpp>

#include "coordinator/http/limits.h"

namespace assent::http {

std::string HeadOf(const Answer& answer, const HeadOptions& options) {
  std::string head;
  head.reserve(512 + answer.body.size());
  head += "HTTP/1.1 " + std::to_string(answer.code) + " ";
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(answer.code));
  head.append(reason.data(), reason.size());
  head +=
      "\r\nServer: assentd\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
      "X-Frame-Options: DENY\r\nCross-Origin-Resource-Policy: same-origin\r\n"
      "Content-Security-Policy: ";
  head.append(answer.policy).append("\r\nCache-Control: ").append(answer.cache).append("\r\n");
  if (options.always_tls)
    head += "Strict-Transport-Security: max-age=" + std::to_string(kAlwaysTlsSeconds) + "\r\n";
  head += answer.header;
  if (!answer.type.empty()) head += "Content-Type: " + answer.type + "\r\n";
  if (!answer.allow.empty()) head += "Allow: " + answer.allow + "\r\n";
  if (answer.try_later) head += "Retry-After: " + std::to_string(kRetryAfterSeconds) + "\r\n";
  // A proxy that gathers events shows none.
  if (options.stream) head += "X-Accel-Buffering: no\r\n";
  if (!options.stream && answer.code != 204 && answer.code != 304)
    head += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  return head + (options.keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

}  // namespace assent::http

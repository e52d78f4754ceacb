#include "coordinator/http/head.h"

#include <boost/beast/http/status.hpp>

#include "coordinator/http/limits.h"

namespace assent::http {

std::string HeadOf(const Answer& answer, bool keep, bool stream) {
  std::string head;
  head.reserve(256 + answer.body.size());
  head += "HTTP/1.1 " + std::to_string(answer.code) + " ";
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(answer.code));
  head.append(reason.data(), reason.size());
  head +=
      "\r\nServer: assentd\r\nX-Content-Type-Options: nosniff\r\nCache-Control: " + answer.cache +
      "\r\n" + answer.header;
  if (!answer.type.empty()) head += "Content-Type: " + answer.type + "\r\n";
  if (!answer.allow.empty()) head += "Allow: " + answer.allow + "\r\n";
  if (answer.try_later) head += "Retry-After: " + std::to_string(kRetryAfterSeconds) + "\r\n";
  // A proxy that gathers events shows none.
  if (stream) head += "X-Accel-Buffering: no\r\n";
  if (!stream && answer.code != 204 && answer.code != 304)
    head += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  return head + (keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

}  // namespace assent::http

#include "coordinator/http/parsed.h"

#include <utility>

#include "coordinator/security/shown.h"

namespace assent::http {

using boost::beast::http::field;

Request RequestOf(boost::beast::http::request<boost::beast::http::string_body>&& message) {
  Request request;
  request.method = Text(message.method_string());
  request.target = Text(message.target());
  request.content_type = Text(message[field::content_type]);
  request.host = Text(message[field::host]);
  request.origin = Text(message[field::origin]);
  request.last_event_id = Text(message["Last-Event-ID"]);
  // A trace has no several parents; of its state there may be several lines (W3C Trace Context).
  if (message.count("traceparent") == 1) {
    request.traceparent = Text(message["traceparent"]);
    const auto states = message.equal_range("tracestate");
    for (auto at = states.first; at != states.second; ++at)
      request.tracestate += (request.tracestate.empty() ? "" : ",") + Text(at->value());
  }
  request.if_none_match = Text(message[field::if_none_match]);
  request.authorization =
      security::ShownBy(message.count(field::authorization), Text(message[field::authorization]));
  request.cookie = Text(message[field::cookie]);
  request.csrf = Text(message["X-Assent-Csrf"]);
  request.fetch_site = Text(message["Sec-Fetch-Site"]);
  request.fetch_mode = Text(message["Sec-Fetch-Mode"]);
  request.fetch_dest = Text(message["Sec-Fetch-Dest"]);
  request.body = std::move(message.body());
  return request;
}

}  // namespace assent::http

#pragma once

// What the parser has made of a request, in plain values.

#include <string>

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include "coordinator/http/exchange.h"

namespace assent::http {

inline std::string Text(boost::beast::string_view text) { return {text.data(), text.size()}; }

// But for the caller.
Request RequestOf(boost::beast::http::request<boost::beast::http::string_body>&& message);

}  // namespace assent::http

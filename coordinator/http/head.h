#pragma once

// An answer's status line and fields, up to and with the empty line.

#include <string>

#include "coordinator/http/exchange.h"

namespace assent::http {

struct HeadOptions {
  bool keep = false;        // the connection goes on after it
  bool stream = false;      // its end is the connection's
  bool always_tls = false;  // a browser comes to this host by TLS alone from now on
};
std::string HeadOf(const Answer& answer, const HeadOptions& options);

}  // namespace assent::http

#pragma once

// An answer's status line and fields, up to and with the empty line.

#include <string>

#include "coordinator/http/exchange.h"

namespace assent::http {

// `keep`: the connection goes on after it. `stream`: its end is the connection's.
std::string HeadOf(const Answer& answer, bool keep, bool stream);

}  // namespace assent::http

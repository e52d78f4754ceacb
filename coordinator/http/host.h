#pragma once

#include <string_view>

namespace assent::http {

// Whether what Host says is a numeric address, or `localhost`: no name that somebody else can point
// at us is one of those.
bool IsLocal(std::string_view host);

}  // namespace assent::http

#pragma once

#include <string>
#include <string_view>

#include <sys/types.h>

namespace assent::ctl {

// Makes a file of these bytes, durable, where there is none. 0, or errno: EEXIST if there is one.
// Nothing is left of one that could not be written whole.
int WriteNewFile(const std::string& path, std::string_view bytes, mode_t mode);

}  // namespace assent::ctl

#pragma once

#include <string>
#include <string_view>

#include <sys/types.h>

namespace assent::ctl {

// Makes a file of these bytes, durable, where there is none. 0, or errno: EEXIST if there is one.
// Nothing is left of one that could not be written whole.
int WriteNewFile(const std::string& path, std::string_view bytes, mode_t mode);
// The same in the place of one that is there, at once, with its owner and mode. 0, or errno.
int ReplaceFile(const std::string& path, std::string_view bytes);

}  // namespace assent::ctl

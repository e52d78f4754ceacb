#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace assent::ctl {

// One file of an archive (POSIX ustar), padded. `name`: at most 100 bytes.
std::string TarEntry(const std::string& name, std::string_view bytes, std::int64_t unix_seconds);
// Behind the last.
std::string TarEnd();

}  // namespace assent::ctl

#pragma once

#include <cstddef>
#include <fstream>
#include <string>

#include <assent/status.h>

namespace assent::base {

// A file, or its first max_bytes + 1 bytes if it has more. NOT_FOUND: it cannot be read, as a
// folder cannot.
inline Result<std::string> ReadAtMost(const std::string& file, std::size_t max_bytes) {
  std::ifstream in(file, std::ios::binary);
  in.peek();  // which a folder cannot do
  if (!in.is_open() || in.bad()) return NotFound("it cannot be read");
  in.clear();  // also of an empty file
  std::string text(max_bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

}  // namespace assent::base

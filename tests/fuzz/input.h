#pragma once

// The bytes of one fuzz input, read as little decisions. Whatever is asked for is there: an
// exhausted input reads as zeros and empty strings, so that a target needs no error path of its own
// and each prefix of an input is an input.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace assent::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  std::uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  // 0 <= result < n; n at most 256.
  std::size_t Below(std::size_t n) { return Byte() % n; }
  bool Flip() { return (Byte() & 1) != 0; }
  // Least significant byte first.
  std::uint64_t Number(int bytes) {
    std::uint64_t number = 0;
    for (int i = 0; i < bytes; ++i) number |= static_cast<std::uint64_t>(Byte()) << (8 * i);
    return number;
  }
  // Two bytes of length, then that many, or what is left.
  std::string_view Chunk() {
    const std::uint64_t asked = Number(2);
    const std::size_t size = std::min<std::size_t>(asked, rest_.size());
    const std::string_view chunk = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return chunk;
  }
  std::string_view Rest() {
    const std::string_view all = rest_;
    rest_ = {};
    return all;
  }

 private:
  std::string_view rest_;
};

// What Input reads back; for seeds.
inline void PutChunk(std::string& out, std::string_view chunk) {
  const std::size_t size = std::min<std::size_t>(chunk.size(), 0xffff);
  out.push_back(static_cast<char>(size & 0xff));
  out.push_back(static_cast<char>(size >> 8));
  out.append(chunk.substr(0, size));
}

}  // namespace assent::fuzz

#pragma once

// Writing and reading little values as bytes: LEB128 varints, zig-zag for signed ones,
// length-prefixed strings.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace assent::core {

class ByteWriter {
 public:
  void U64(std::uint64_t value) {
    std::array<char, 10> bytes;  // of 7 bits each
    std::size_t size = 0;
    for (; value >= 0x80; value >>= 7) bytes[size++] = static_cast<char>(value | 0x80);
    bytes[size++] = static_cast<char>(value);
    bytes_.append(bytes.data(), size);
  }
  void I64(std::int64_t value) {
    U64((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void Text(std::string_view text) {
    U64(text.size());
    bytes_.append(text);
  }
  void Reserve(std::size_t bytes) { bytes_.reserve(bytes); }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what ByteWriter wrote. After the first impossible byte everything reads as zero or empty
// and ok() is false: check once at the end, and before every loop whose length was read.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  std::uint64_t U64() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return Fail();
      const auto byte = static_cast<std::uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) return Fail();
      if (shift > 0 && byte == 0) return Fail();  // one number, one way to write it
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return Fail();
  }
  std::int64_t I64() {
    const std::uint64_t raw = U64();
    return static_cast<std::int64_t>(raw >> 1) ^ -static_cast<std::int64_t>(raw & 1);
  }
  // At most `max`, or it fails.
  std::uint64_t Bounded(std::uint64_t max) {
    const std::uint64_t value = U64();
    return value > max ? Fail() : value;
  }
  // For enumerations without a zero: a failed read gives 1, so that the value stays one of them.
  std::uint64_t From1To(std::uint64_t max) {
    const std::uint64_t value = Bounded(max);
    if (value == 0) Fail();
    return value == 0 ? 1 : value;
  }
  std::string Text(std::size_t max_bytes) {
    const std::uint64_t size = U64();
    if (!ok_ || size > rest_.size() || size > max_bytes) {
      Fail();
      return {};
    }
    std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  std::uint64_t Fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace assent::core

#include "coordinator/log/postgresql/values.h"

#include <cstdlib>

namespace assent::log {
namespace {

// The numbers of types are the same in every server that speaks the protocol.
constexpr std::uint32_t kInt8 = 20;
constexpr std::uint32_t kText = 25;
constexpr std::uint32_t kBytea = 17;

// Most significant byte first.
template <typename T>
void Put(std::string& out, T number) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(number >> shift));
}

}  // namespace

std::string Quoted(std::string_view text) {
  std::string quoted = "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += c;
    if (c != '\0') quoted += c;
  }
  return quoted + "'";
}

void Column::Add(std::int64_t number) {
  Put<std::uint32_t>(elements_, 8);
  Put(elements_, static_cast<std::uint64_t>(number));
  ++count_;
}

void Column::Add(std::string_view bytes) {
  Put(elements_, static_cast<std::uint32_t>(bytes.size()));
  elements_.append(bytes);
  ++count_;
}

void Column::Clear() {
  elements_.clear();
  count_ = 0;
}

// Dimensions (none when empty), no nulls, type; then how many, counted from 1.
std::string Column::Encoded(std::uint32_t type) const {
  std::string out;
  out.reserve(elements_.size() + 20);
  Put<std::uint32_t>(out, count_ == 0 ? 0 : 1);
  Put<std::uint32_t>(out, 0);
  Put(out, type);
  if (count_ == 0) return out;
  Put(out, count_);
  Put<std::uint32_t>(out, 1);
  return out + elements_;
}

Params& Params::Int(std::int64_t number) {
  Put(values_.emplace_back(), static_cast<std::uint64_t>(number));
  return *this;
}

Params& Params::Bytes(std::string_view bytes) {
  values_.emplace_back(bytes);
  return *this;
}

Params& Params::Ints(const Column& column) {
  values_.push_back(column.Encoded(kInt8));
  return *this;
}

Params& Params::Texts(const Column& column) {
  values_.push_back(column.Encoded(kText));
  return *this;
}

Params& Params::Blobs(const Column& column) {
  values_.push_back(column.Encoded(kBytea));
  return *this;
}

std::int64_t Rows::Int(int row, int column) const {
  if (IsNull(row, column)) return 0;
  const std::string_view bytes = Bytes(row, column);
  if (PQfformat(result_.get(), column) == 0) {
    if (bytes == "t") return 1;
    return std::strtoll(bytes.data(), nullptr, 10);
  }
  std::uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
  if (bytes.size() == 2) return static_cast<std::int16_t>(number);
  if (bytes.size() == 4) return static_cast<std::int32_t>(number);
  return static_cast<std::int64_t>(number);
}

std::string_view Rows::Bytes(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t Rows::changed() const {
  return result_ == nullptr ? 0 : std::strtoll(PQcmdTuples(result_.get()), nullptr, 10);
}

}  // namespace assent::log

#include "participant-sdk/cpp/postgresql/table.h"

#include <cstdlib>

namespace assent::postgresql::internal {
namespace {

// The numbers of types are the same in every server that speaks the protocol.
constexpr Oid kBytea = 17;

int Digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

// "\x6162": bytea_output = hex, which our sessions have.
std::string FromHex(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t at = 2; at + 1 < text.size(); at += 2)
    bytes.push_back(static_cast<char>(Digit(text[at]) * 16 + Digit(text[at + 1])));
  return bytes;
}

}  // namespace

bool Table::IsNull(int row, int column) const {
  return !Has(row, column) || PQgetisnull(result_.get(), row, column) != 0;
}

std::int64_t Table::Int(int row, int column) const {
  if (IsNull(row, column)) return 0;
  const char* const text = PQgetvalue(result_.get(), row, column);
  return *text == 't' ? 1 : std::strtoll(text, nullptr, 10);
}

double Table::Real(int row, int column) const {
  return IsNull(row, column) ? 0 : std::strtod(PQgetvalue(result_.get(), row, column), nullptr);
}

std::string_view Table::Text(int row, int column) const {
  if (IsNull(row, column)) return {};
  const std::string_view text(PQgetvalue(result_.get(), row, column),
                              static_cast<std::size_t>(PQgetlength(result_.get(), row, column)));
  if (PQftype(result_.get(), column) != kBytea) return text;
  const auto [at, is_new] = decoded_.try_emplace({row, column});
  if (is_new) at->second = FromHex(text);
  return at->second;
}

std::string_view Table::tag() const {
  return result_ == nullptr ? std::string_view() : PQcmdStatus(result_.get());
}

std::int64_t Table::changed() const {
  // The tag of a SELECT has a number too: that of rows it returned.
  if (result_ == nullptr || tag().starts_with("SELECT") || tag().starts_with("FETCH") ||
      tag().starts_with("MOVE"))
    return 0;
  return std::strtoll(PQcmdTuples(result_.get()), nullptr, 10);
}

}  // namespace assent::postgresql::internal

#include "tools/assentctl/tar.h"

#include <cstddef>

namespace assent::ctl {
namespace {

constexpr std::size_t kBlockBytes = 512;

// Where a field of the header begins, and its bytes.
struct Field {
  std::size_t at;
  std::size_t bytes;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUser{108, 8}, kGroup{116, 8}, kSize{124, 12};
constexpr Field kTime{136, 12}, kSum{148, 8}, kType{156, 1}, kMagic{257, 8};

void Put(std::string& header, Field field, std::string_view text) {
  header.replace(field.at, text.size(), text);
}

// Ends with a zero byte, which is there already.
void PutOctal(std::string& header, Field field, std::uint64_t value) {
  std::string digits(field.bytes - 1, '0');
  for (std::size_t i = digits.size(); i > 0 && value > 0; value /= 8)
    digits[--i] = static_cast<char>('0' + value % 8);
  Put(header, field, digits);
}

}  // namespace

std::string TarEntry(const std::string& name, std::string_view bytes, std::int64_t unix_seconds) {
  std::string header(kBlockBytes, '\0');
  Put(header, kName, std::string_view(name).substr(0, kName.bytes));
  PutOctal(header, kMode, 0600);
  PutOctal(header, kUser, 0);
  PutOctal(header, kGroup, 0);
  PutOctal(header, kSize, bytes.size());
  PutOctal(header, kTime, static_cast<std::uint64_t>(unix_seconds));
  Put(header, kType, "0");
  Put(header, kMagic, std::string_view("ustar\00000", kMagic.bytes));
  Put(header, kSum, "        ");  // counts as spaces, of which the last stays
  std::uint64_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  PutOctal(header, {kSum.at, kSum.bytes - 1}, sum);
  header[kSum.at + kSum.bytes - 2] = '\0';
  std::string entry = header + std::string(bytes);
  entry.resize((entry.size() + kBlockBytes - 1) / kBlockBytes * kBlockBytes, '\0');
  return entry;
}

std::string TarEnd() { return std::string(2 * kBlockBytes, '\0'); }

}  // namespace assent::ctl

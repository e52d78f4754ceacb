// A file of tokens, and what somebody shows, of arbitrary bytes. A file is refused with its line
// and without what stands in it, or understood; beside what it has, a token that was made is found
// by its own text alone, until its day.

#include <cstdint>
#include <string>

#include <assent/status.h>

#include "coordinator/security/tokens.h"
#include "tests/fuzz/input.h"

namespace assent::security {
namespace {

const MadeToken& Made() {
  static const MadeToken made =
      *MakeToken("own", "2027-01-31", std::string(kTokenSecretBytes + kTokenSaltBytes, 'r'));
  return made;
}
// By `date -u -d 2027-02-01 +%s`.
constexpr std::int64_t kEnd = 1'801'440'000'000;

void Try(std::string_view file, std::string_view shown) {
  const auto read = Tokens::Parse(file);
  if (!read.ok()) ASSENT_CHECK(read.status().code() == Code::kInvalidArgument);
  if (read.ok()) {
    // A secret with a hash that is in there has been found: nobody does that.
    const Tokens::Found found = read->Find(shown, 0);
    if (shown != Made().token)
      ASSENT_CHECK(found.fault == TokenFault::kUnknown && found.name.empty());
  }
  const auto with = Tokens::Parse(std::string(file).append("\n").append(Made().line).append("\n"));
  if (!with.ok()) {
    // Refused for a line of its own, or because it has the name already.
    ASSENT_CHECK(!read.ok() || with.status().message().ends_with("two tokens named own") ||
                 with.status().message().find("the limit is") != std::string::npos);
    return;
  }
  ASSENT_CHECK(with->Find(Made().token, kEnd - 1).name == "own");
  ASSENT_CHECK(with->Find(Made().token, kEnd - 1).fault == TokenFault::kNone);
  ASSENT_CHECK(with->Find(Made().token, kEnd).fault == TokenFault::kExpired);
  ASSENT_CHECK((with->Find(shown, 0).fault == TokenFault::kNone) == (shown == Made().token));
}

}  // namespace
}  // namespace assent::security

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::Input in(data, size);
  const std::string_view shown = in.Chunk();
  assent::security::Try(in.Rest(), shown);
  return 0;
}

// A file of rules of arbitrary bytes. Either it is refused, with the line and words that no
// terminal obeys, or it is understood: what it gives to whom is what its lines say one by one,
// whatever their order; and an identity that none of them has may nothing.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>
#include <assent/text.h>

#include "coordinator/security/rules.h"

namespace assent::security {
namespace {

constexpr Permission kPermissions[] = {
    Permission::kBegin,   Permission::kFollow,     Permission::kLook,
    Permission::kOperate, Permission::kReadRecord, Permission::kAdminister,
    Permission::kServe,   Permission::kHandOn,     Permission::kFindWay};

void CheckWords(const Status& status) {
  ASSENT_CHECK(status.code() == Code::kInvalidArgument && !status.message().empty());
  for (std::string_view rest = status.message(); !rest.empty();) {
    const std::size_t length = Utf8Length(rest);
    ASSENT_CHECK(length != 0);
    rest.remove_prefix(length);
  }
}

std::vector<std::string_view> LinesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    lines.push_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(lines.back().size() + 1, text.size()));
  }
  return lines;
}

void CheckGrants(const Rules& rules, const std::string& text) {
  const Rules turned = [&] {
    std::string all;
    const auto lines = LinesOf(text);
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) all.append(*line).append("\n");
    auto read = Rules::Parse(all);
    ASSENT_CHECK(read.ok());
    return *std::move(read);
  }();
  for (const Rule& rule : rules.all()) {
    ASSENT_CHECK(CheckIdentity(rule.identity).ok());
    const Grants grants = rules.For(rule.identity);
    const Grants other = turned.For(rule.identity);
    for (const Permission permission : kPermissions) {
      ASSENT_CHECK(grants.May(permission) == other.May(permission));
      if (Has(rule.role, permission)) ASSENT_CHECK(grants.May(permission));
    }
    ASSENT_CHECK(grants.sees_payloads() == other.sees_payloads());
  }
  for (const Limit& limit : rules.limits()) {
    ASSENT_CHECK(CheckIdentity(limit.identity).ok() && !limit.quota.empty());
    const Quota quota = rules.QuotaOf(limit.identity);
    ASSENT_CHECK(quota.Text() == turned.QuotaOf(limit.identity).Text());
    // Nothing names it more exactly than its own line.
    if (limit.quota.requests != 0) ASSENT_CHECK(quota.requests == limit.quota.requests);
    if (limit.quota.bytes != 0) ASSENT_CHECK(quota.bytes == limit.quota.bytes);
  }
  // Nobody has this name but by a pattern, or because a rule is for everybody.
  const std::string stranger = "urn0://nobody/that/a/rule/names";
  const Grants none = rules.For(stranger);
  bool meant = false;
  for (const Rule& rule : rules.all()) meant = meant || SpeaksOf(rule.identity, stranger);
  ASSENT_CHECK(meant != none.empty());
}

}  // namespace
}  // namespace assent::security

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto rules = assent::security::Rules::Parse(text);
  if (rules.ok()) {
    assent::security::CheckGrants(*rules, text);
  } else {
    assent::security::CheckWords(rules.status());
  }
  return 0;
}

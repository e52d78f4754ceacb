#include "coordinator/audit/chain.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <openssl/sha.h>

namespace assent::audit {
namespace {

constexpr std::string_view kSeed = "assent audit 1";
constexpr std::array<std::string_view, kKindsCount> kKindNames = {
    "deed",   "ending", "old",  "refused", "login", "logout",
    "reload", "start",  "stop", "retired", "link"};
constexpr char kDigits[] = "0123456789abcdef";

class Encoding {
 public:
  void Number(std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8)
      bytes_.push_back(static_cast<char>((value >> shift) & 0xFFU));
  }
  void Number(std::int64_t value) { Number(static_cast<std::uint64_t>(value)); }
  void Text(std::string_view text) {
    Number(std::uint64_t{text.size()});
    bytes_.append(text);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string Place(const std::string& chain, std::uint64_t number) {
  return chain + " " + std::to_string(number);
}

}  // namespace

std::string_view NameOf(Kind kind) { return kKindNames.at(static_cast<std::size_t>(kind)); }

std::optional<Kind> KindOf(std::string_view name) {
  const auto* const found = std::find(kKindNames.begin(), kKindNames.end(), name);
  if (found == kKindNames.end()) return {};
  return static_cast<Kind>(found - kKindNames.begin());
}

std::string KindsSql(std::uint32_t kinds) {
  std::string sql;
  for (std::size_t i = 0; i < kKindsCount; ++i) {
    if ((kinds & Only(static_cast<Kind>(i))) == 0) continue;
    sql.append(sql.empty() ? "'" : ", '").append(kKindNames.at(i)).append("'");
  }
  return sql.empty() ? "''" : sql;
}

std::string NoHash() { return std::string(kHashBytes, '\0'); }

std::string HashOf(const Row& row, std::string_view before) {
  Encoding out;
  out.Text(kSeed);
  out.Text(before);
  out.Text(row.chain);
  out.Number(row.number);
  out.Text(NameOf(row.kind));
  out.Number(row.at_unix_ms);
  out.Number(row.about.at_unix_ms);
  out.Number(row.about.epoch);
  out.Number(row.about.number);
  const Deed& deed = row.deed;
  for (const std::string* text :
       {&row.node, &deed.verb, &deed.gid, &deed.branch_id, &deed.detail, &deed.who, &deed.claims,
        &deed.reason, &deed.address, &row.before})
    out.Text(*text);
  out.Number(row.code ? std::int64_t{*row.code} : std::int64_t{-1});
  out.Text(row.said);
  out.Number(row.times);
  std::string hash(kHashBytes, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(out.bytes().data()), out.bytes().size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex.push_back(kDigits[byte >> 4U]);
    hex.push_back(kDigits[byte & 0xFU]);
  }
  return hex;
}

std::optional<std::string> FromHex(std::string_view hex) {
  const std::string_view digits(kDigits);
  if (hex.size() % 2 != 0) return {};
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const std::size_t high = digits.find(hex[i]);
    const std::size_t low = digits.find(hex[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return {};
    bytes.push_back(static_cast<char>(high << 4U | low));
  }
  return bytes;
}

void Seal(const std::string& chain, Row& row, Head& head) {
  row.chain = chain;
  row.number = ++head.number;
  row.hash = HashOf(row, head.hash);
  head.hash = row.hash;
}

std::uint64_t OwnNumber(std::string_view kind, std::uint64_t number) {
  constexpr std::uint64_t kOfRefusals = std::uint64_t{1} << 60U;
  return kind == kRefusals ? number | kOfRefusals : number;
}

std::string_view Verifier::Chain::HashAt(std::uint64_t number) const {
  return std::string_view(hashes).substr((number - first->number) * kHashBytes, kHashBytes);
}

// Its hash alone anybody can copy.
bool Verifier::IsWhatWasThere(const Chain& chain, const Row& row) {
  if (chain.HashAt(row.number) != row.hash) return false;
  if (row.number == chain.first->number)
    return HashOf(row, NoHash()) == HashOf(*chain.first, NoHash());
  return row.hash == HashOf(row, chain.HashAt(row.number - 1));
}

// One sentence a chain: what comes behind the first fault fits no better.
void Verifier::Fault(Chain& chain, const std::string& what) {
  chain.broken = true;
  faults_.push_back(what);
}

void Verifier::Take(const Row& row) {
  Chain& chain = chains_[row.chain];
  if (chain.broken) return;
  if (!chain.first) {
    chain.first = row;
    // What it comes behind is known when all has been read.
    if (row.number == 0) return Fault(chain, Place(row.chain, 0) + ": no row has this number");
  } else if (row.number >= chain.first->number && row.number <= chain.last()) {
    if (IsWhatWasThere(chain, row)) return;
    return Fault(chain, Place(row.chain, row.number) + ": is there twice, and they differ");
  } else if (row.number != chain.last() + 1) {
    return Fault(chain, Place(row.chain, chain.last() + 1) +
                            ": is missing: " + Place(row.chain, row.number) + " comes behind " +
                            Place(row.chain, chain.last()));
  } else if (row.hash != HashOf(row, chain.HashAt(chain.last()))) {
    return Fault(chain, Place(row.chain, row.number) +
                            ": was changed, or comes behind another row than " +
                            Place(row.chain, chain.last()) + " as it is here");
  }
  if (row.hash.size() != kHashBytes)
    return Fault(chain, Place(row.chain, row.number) + ": has no hash");
  chain.hashes += row.hash;
  ++rows_;
  if (row.kind != Kind::kRetired && row.kind != Kind::kLink) return;
  Claim claim{.by = Place(row.chain, row.number),
              .chain = row.deed.detail,
              .number = row.times,
              .hash = FromHex(row.said).value_or("")};
  (row.kind == Kind::kRetired ? retired_ : links_).push_back(std::move(claim));
}

Status Verifier::Expect(std::string_view text) {
  Claim claim{.by = "--expect " + std::string(text)};
  std::string_view rest = text;
  std::string_view hash =
      rest.substr(rest.rfind(':') == std::string_view::npos ? 0 : rest.rfind(':') + 1);
  rest.remove_suffix(hash.size());
  const auto bytes = FromHex(hash);
  if (!bytes || bytes->size() != kHashBytes)
    return InvalidArgument("'" + std::string(text) + "' does not end with a hash of 64 hex digits");
  claim.hash = *bytes;
  if (!rest.empty()) {
    rest.remove_suffix(1);
    const std::size_t at = rest.find(':');
    claim.chain = at == std::string_view::npos ? kDeeds : rest.substr(0, at);
    const std::string_view number = at == std::string_view::npos ? rest : rest.substr(at + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), claim.number);
    if (error != std::errc() || end != number.data() + number.size() || claim.number == 0) {
      return InvalidArgument("'" + std::string(text) +
                             "' is not HASH, NUMBER:HASH or CHAIN:NUMBER:HASH");
    }
  }
  expected_.push_back(std::move(claim));
  return OkStatus();
}

const Verifier::Claim* Verifier::RetiredThrough(const std::string& chain,
                                                std::uint64_t number) const {
  for (const Claim& claim : retired_) {
    if (claim.chain == chain && claim.number == number) return &claim;
  }
  return nullptr;
}

void Verifier::CheckBeginning(const std::string& name, Chain& chain) {
  if (chain.broken || !chain.first) return;
  const Row& first = *chain.first;
  std::string before = NoHash();
  if (first.number > 1) {
    const Claim* const retired = RetiredThrough(name, first.number - 1);
    if (retired == nullptr) {
      return Fault(chain, Place(name, first.number - 1) +
                              ": is missing, with what was before it: nothing says that it was "
                              "retired");
    }
    before = retired->hash;
    notes_.push_back("of " + name + " the first " + std::to_string(first.number - 1) +
                     " were retired, as " + retired->by + " says");
  }
  if (first.hash != HashOf(first, before))
    Fault(chain, Place(name, first.number) + ": was changed, or comes behind another row");
}

void Verifier::CheckClaim(const Claim& claim, bool is_expected) {
  const auto found = chains_.find(claim.chain);
  const bool there = found != chains_.end() && found->second.first && !found->second.hashes.empty();
  if (there && claim.number >= found->second.first->number &&
      claim.number <= found->second.last()) {
    if (found->second.HashAt(claim.number) != claim.hash) {
      faults_.push_back(Place(claim.chain, claim.number) + ": is another row than " + claim.by +
                        " says");
    }
    return;
  }
  const bool retired = std::any_of(retired_.begin(), retired_.end(), [&](const Claim& one) {
    return one.chain == claim.chain && one.number >= claim.number;
  });
  if (!retired) {
    faults_.push_back(Place(claim.chain, claim.number) + ": is missing: " + claim.by +
                      " says that it was there");
  } else if (is_expected) {
    notes_.push_back(Place(claim.chain, claim.number) + " of " + claim.by + " was retired since");
  }
}

void Verifier::Finish() {
  for (auto& [name, chain] : chains_) CheckBeginning(name, chain);
  for (const Claim& link : links_) CheckClaim(link, false);
  for (const Claim& expected : expected_) {
    if (!expected.chain.empty()) {
      CheckClaim(expected, true);
      continue;
    }
    const bool there = std::any_of(chains_.begin(), chains_.end(), [&](const auto& one) {
      const std::string_view hashes = one.second.hashes;
      for (std::size_t at = 0; at < hashes.size(); at += kHashBytes) {
        if (hashes.substr(at, kHashBytes) == expected.hash) return true;
      }
      return false;
    });
    if (!there) faults_.push_back("no row has the hash of " + expected.by);
  }
}

std::vector<Span> Verifier::spans() const {
  std::vector<Span> spans;
  for (const auto& [name, chain] : chains_) {
    if (!chain.first || chain.hashes.empty()) continue;
    spans.push_back({.chain = name,
                     .first = chain.first->number,
                     .last = chain.last(),
                     .last_hash = std::string(chain.HashAt(chain.last()))});
  }
  return spans;
}

}  // namespace assent::audit

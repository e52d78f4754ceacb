#pragma once

// The record as a chain: each row has the SHA-256 of the hash before it and of all that it says, so
// that none can be changed, left out, added or moved without every later one being another. Who can
// write all of it can make another chain: so its latest hash is told, and kept elsewhere.
//
// Values in, values out.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "coordinator/audit/entry.h"

namespace assent::audit {

// Of what people do, and of what strangers try: who tries often does not move out what counts.
// Where several coordinators write, each start has chains of its own: "deeds-7".
inline constexpr std::string_view kDeeds = "deeds";
inline constexpr std::string_view kRefusals = "refused";

inline constexpr std::size_t kHashBytes = 32;

// As it is stored, sent and exported.
struct Row {
  std::string chain{};
  std::uint64_t number = 0;  // in its chain, from 1, without gaps
  Kind kind = Kind::kDeed;
  std::int64_t at_unix_ms = 0;
  EntryId about{};  // its entry; of an ending that of the deed
  std::string node{};
  // Of kRetired and kLink the detail is the chain that they speak of.
  Deed deed{};
  std::string before{};
  std::optional<std::uint8_t> code{};  // of what has ended
  std::string said{};                  // of kRetired and kLink the hash of that row, in hex
  std::uint64_t times = 0;             // of kRefused how often; of these two the number of that row
  std::string hash{};                  // kHashBytes of them
};

// "deed", "ending", …
std::string_view NameOf(Kind kind);
std::optional<Kind> KindOf(std::string_view name);
// "'deed', 'old'", for SQL.
std::string KindsSql(std::uint32_t kinds);

// What the first row of a chain comes behind.
std::string NoHash();
// Over the hash before and every field but its own hash: each number as 8 bytes, highest first,
// each text behind its length, in the order in which Row has them.
std::string HashOf(const Row& row, std::string_view before);
std::string Hex(std::string_view bytes);
std::optional<std::string> FromHex(std::string_view hex);

struct Head {
  std::uint64_t number = 0;  // 0: nothing is in it
  std::string hash = NoHash();
};
// Puts the row behind it, and moves it there.
void Seal(const std::string& chain, Row& row, Head& head);

// The number of an entry that a store makes itself, which is the row's: of both kinds of chains
// different ones.
std::uint64_t OwnNumber(std::string_view kind, std::uint64_t number);

// A chain, as far as it is kept.
struct Span {
  std::string chain{};
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string last_hash{};
};

// Reads rows of any number of chains, each in its order, and says what does not fit. It has of each
// row what it needs to check what others say of it: 32 bytes.
class Verifier {
 public:
  // Rows that were read already, again, are left out if they are the same.
  void Take(const Row& row);
  // "deeds:42:HASH", "42:HASH" of kDeeds, or a hash that one of the rows has to have.
  Status Expect(std::string_view text);
  // Once, behind the last row.
  void Finish();

  // The first that does not fit of each chain, and what is missing; empty: all of it fits.
  const std::vector<std::string>& faults() const { return faults_; }
  // What is so and no fault: that the oldest were retired.
  const std::vector<std::string>& notes() const { return notes_; }
  std::vector<Span> spans() const;
  std::uint64_t rows() const { return rows_; }

 private:
  struct Chain {
    std::optional<Row> first{};
    std::string hashes{};  // of each row, from the first on
    bool broken = false;
    std::uint64_t last() const { return first->number + hashes.size() / kHashBytes - 1; }
    std::string_view HashAt(std::uint64_t number) const;
  };
  struct Claim {
    std::string by{};  // "deeds 17"
    std::string chain{};
    std::uint64_t number = 0;
    std::string hash{};
  };
  static bool IsWhatWasThere(const Chain& chain, const Row& row);
  void Fault(Chain& chain, const std::string& what);
  void CheckBeginning(const std::string& name, Chain& chain);
  void CheckClaim(const Claim& claim, bool is_expected);
  const Claim* RetiredThrough(const std::string& chain, std::uint64_t number) const;

  std::map<std::string, Chain> chains_;
  std::vector<Claim> retired_;
  std::vector<Claim> links_;
  std::vector<Claim> expected_;
  std::vector<std::string> faults_;
  std::vector<std::string> notes_;
  std::uint64_t rows_ = 0;
};

}  // namespace assent::audit

#pragma once

// The bank of the crash tests: accounts whose total is known, and a ledger in which every branch
// leaves exactly one line that says what became of it.

#include <cstdint>
#include <string>

namespace assent::crash {

inline constexpr int kAccountsCount = 40;
inline constexpr std::int64_t kOpeningBalance = 1000;

// One branch's payload: "ACCOUNT DELTA".
std::string Movement(int account, std::int64_t delta);

// What a bank's own file says after everything came to rest. Read with SQLite itself, not through
// the SDK.
struct Books {
  std::int64_t balance = 0;
  std::int64_t frozen = 0;
  std::int64_t prepared = 0;  // rows of the adapter that must be gone at rest
  std::int64_t locks = 0;
};
Books ReadBooks(const std::string& file);
// "done", "frozen", "undone", or "" when the branch left nothing.
std::string LedgerState(const std::string& file, const std::string& gid,
                        const std::string& branch_id);
// Branches whose ledger line is neither done nor undone.
std::int64_t Unsettled(const std::string& file);

}  // namespace assent::crash

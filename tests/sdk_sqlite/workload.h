#pragma once

// A small bank driven by a make-believe coordinator: many global transactions in all protocols,
// their operations in any order, repeated, late and lost. What it checks:
//
//   - a repeated operation gets the byte-equal first reply (T8); replies obey the protocol (T2, T3,
//     T5)
//   - each handler took effect at most once, cancel's only if try's did (T1, T4)
//   - available + frozen + consumed is constant at any time (T6), and at rest nothing is frozen,
//     prepared or claimed
//   - each transaction ended in all its branches as it was decided (S1, T7, G2)

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>

#include <assent/sqlite.h>

namespace assent::sqlite::test {

inline constexpr int kAccountsCount = 6;
inline constexpr std::int64_t kStartBalance = 1000;

// Tables and handlers of the bank.
void SetUpBank(Db& db);
void RegisterBank(Store& store);

// One global transaction: money from one account to another, in one protocol, as two branches
// "from" and "to". For odd numbers the decision is abort.
struct Transfer {
  int number = 0;
  std::string gid;
  Protocol protocol = Protocol::kTcc;
  bool commit = true;
  std::string from;
  std::string to;
  std::int64_t amount = 0;

  static Transfer Of(int number);
  Call Make(const std::string& branch_id, Operation operation) const;
  Operation forward() const;
  // What follows the decision: a finishing or undoing operation; none for a committed Saga.
  std::optional<Operation> second(bool committed) const;
};

// Asks for one operation and waits; empty: nobody answered.
using AskFunction = std::function<std::optional<Reply>(const Call&)>;

// Drives transfers through `ask` in a random order given by `seed`; every reply is checked against
// those before it.
class Driver {
 public:
  Driver(AskFunction ask, std::uint32_t seed) : ask_(std::move(ask)), random_(seed) {}

  // A reply heard in an earlier life.
  void Remember(const std::string& key, const Reply& reply) { first_[key] = reply; }
  // Sends `steps` random operations of transfers `begin` to `end`: forward ones, premature and late
  // ones, repeats.
  void RunRandom(int begin, int end, int steps);
  // Brings each of them to the end that its votes and its decision demand, whatever state it is in.
  void FinishAll(int begin, int end);
  static std::string KeyOf(const Call& call);

 private:
  Reply::Kind Send(const Transfer& transfer, const std::string& branch_id, Operation operation);
  bool IsDone(const Transfer& transfer, const std::string& branch_id, Operation operation) const;
  bool MaySend(const Transfer& transfer, Operation operation) const;

  AskFunction ask_;
  std::mt19937 random_;
  std::map<std::string, Reply> first_;  // final replies by operation
};

// Reads the books; empty when they balance.
std::string AuditAnytime(Store& store);
std::string AuditAtRest(Store& store, int begin, int end);

}  // namespace assent::sqlite::test

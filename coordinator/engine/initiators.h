#pragma once

// What each initiator has under way, all shards together, and how much of it he may.
//
// Invariant: an entry is the sum of the transactions of that name that shards have live. Nobody
// whose name is not known is counted.
//
// Thread-safety: all of it, from any thread.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::engine {

// Of an initiator's unfinished transactions; no limit: SIZE_MAX.
struct Allowance {
  std::size_t max_transactions_count = SIZE_MAX;
  std::size_t max_bytes = SIZE_MAX;  // of their payloads, results, headers and labels

  bool limits() const { return max_transactions_count != SIZE_MAX || max_bytes != SIZE_MAX; }
};

class Initiators {
 public:
  // nullptr: of nobody's, and not counted.
  using Name = std::shared_ptr<const std::string>;

  void Add(const Name& name, std::size_t transactions, std::size_t bytes) ASSENT_EXCLUDES(mutex_);
  void Remove(const Name& name, std::size_t transactions, std::size_t bytes)
      ASSENT_EXCLUDES(mutex_);

  // Whether there is room for so much more. RESOURCE_EXHAUSTED: there is not, and this was counted.
  // Between this and Add another shard may begin one: each may go beyond by one.
  Status Check(const Name& name, const Allowance& allowance, std::size_t transactions,
               std::size_t bytes) ASSENT_EXCLUDES(mutex_);

  // What had no room so far, by what there was too much of.
  struct Refused {
    std::uint64_t transactions = 0;
    std::uint64_t bytes = 0;
  };
  Refused refused() const ASSENT_EXCLUDES(mutex_);
  // Names with anything under way.
  std::size_t size() const ASSENT_EXCLUDES(mutex_);

 private:
  struct Use {
    std::size_t transactions = 0;
    std::size_t bytes = 0;
  };

  mutable Mutex mutex_;
  std::map<std::string, Use> uses_ ASSENT_GUARDED_BY(mutex_);
  Refused refused_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::engine

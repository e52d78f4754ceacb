#pragma once

// Who is there: figures that are kept as things happen, and slices of the rest. Nothing here walks
// everything.

#include <cstdint>
#include <vector>

#include <absl/container/btree_map.h>

#include "coordinator/core/types.h"
#include "coordinator/engine/figures.h"
#include "coordinator/engine/holding.h"
#include "coordinator/engine/live.h"
#include "coordinator/engine/requests.h"

namespace assent::engine {

// When those of one state began, to the second, so that the oldest is known without a walk.
class Ages {
 public:
  explicit Ages(Figure& oldest) : oldest_(oldest) {}
  void Enter(core::WallTime began);
  void Leave(core::WallTime began);

 private:
  Figure& oldest_;
  absl::btree_map<std::int64_t, std::uint64_t> by_second_;
};

class Census {
 public:
  Figures<Figure> figures;

  void Add(Live& live) { by_serial_.emplace_hint(by_serial_.end(), live.serial, &live); }
  // It has changed: where it stands now. True: it needs a person.
  bool Count(Live& live);
  void Remove(Live& live);
  // It has ended, for good.
  void CountEnd(const core::Transaction& txn);
  std::size_t size() const { return by_serial_.size(); }

  // One slice, in which the rows that `recovering` holds stand among the others.
  void Visit(const SliceRequest& request, const std::vector<Holding*>& recovering,
             const core::Now& now);

 private:
  Ages* AgesOf(core::Phase phase);

  Ages active_{figures.oldest_unix_s[static_cast<std::size_t>(Aged::kActive)]};
  Ages committing_{figures.oldest_unix_s[static_cast<std::size_t>(Aged::kCommitting)]};
  Ages aborting_{figures.oldest_unix_s[static_cast<std::size_t>(Aged::kAborting)]};
  Ages needs_operator_{figures.oldest_unix_s[static_cast<std::size_t>(Aged::kNeedsOperator)]};
  absl::btree_map<std::uint64_t, Live*> by_serial_;
  absl::btree_map<std::uint64_t, Live*> stuck_;  // who needs a person, or once did
  std::uint64_t look_ = 0;                       // the latest that was heard of
};

}  // namespace assent::engine

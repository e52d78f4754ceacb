#pragma once

// What operators ask of a cluster.

#include <functional>
#include <string>
#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/cluster/view.h"

namespace assent::cluster {

// Thread-safety: all of it, from any thread. Nothing waits: `done` is called once, from any thread,
// when what was asked for is durable. kNotFound: there is no such node.
class ClusterControl {
 public:
  using Done = std::function<void(const Status&)>;

  virtual ~ClusterControl() = default;
  // The node gives its slots away and takes none, or does so no more.
  virtual void SetDraining(const std::string& node, bool draining, const Asked& asked,
                           Done done) = 0;
  // The slots are to be the node's (Pin): their owners are asked to give them, and they move
  // meanwhile.
  virtual void Move(const std::vector<Slot>& slots, const std::string& node, const Asked& asked,
                    Done done) = 0;
  // They may be anybody's again.
  virtual void Unpin(const std::vector<Slot>& slots, Done done) = 0;
  // Ends the member of this node at once, and gives its slots to the others.
  virtual void Fence(const std::string& node, const Asked& asked, Done done) = 0;
  // The view that others are shown is as new as this call, when `done` hears OK; kUnavailable: the
  // store does not answer, and the view is the last that was seen.
  virtual void Look(Done done) = 0;
};

}  // namespace assent::cluster

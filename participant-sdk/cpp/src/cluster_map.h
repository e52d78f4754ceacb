#pragma once

// Who has which transactions, as one of several coordinators has told it. A value that does not
// change; the next one replaces it.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "assent/v1/cluster.pb.h"

namespace assent::internal {

class ClusterMap {
 public:
  struct Member {
    std::uint64_t epoch = 0;
    std::string address;
  };
  // What can be dialled of a view with a version. kInvalidArgument: it contradicts itself.
  static Result<ClusterMap> Read(const v1::ClusterView& view);

  std::uint32_t coordinator_id() const { return coordinator_id_; }
  const std::vector<Member>& members() const { return members_; }
  bool Has(std::string_view address) const;
  // Its place in members(); members().size() while nobody has the gid.
  std::size_t OwnerOf(std::string_view gid) const;
  // Seen later than that, by whoever sees it.
  bool NewerThan(const ClusterMap& other) const;
  // The members', separated by commas.
  std::string AddressList() const;

 private:
  std::uint32_t coordinator_id_ = 0;
  std::uint64_t generation_ = 0;
  std::uint64_t version_ = 0;
  std::vector<Member> members_;
  std::vector<std::uint16_t> owners_;  // of each slot; members_.size(): nobody
};
using ClusterMapPtr = std::shared_ptr<const ClusterMap>;

}  // namespace assent::internal

#pragma once

// What a walk over all shards, here and at each member of a cluster, is made of, whatever it counts
// or does: causes.cc, batch.cc. Rows that were counted cannot be taken back, so each shard is
// looked at from where its last slice ended; members are asked for theirs in parts (slices).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/base/together.h"
#include "coordinator/engine/engine.h"
#include "coordinator/service/list.h"
#include "coordinator/service/members.h"

namespace assent::service {

// Where each shard goes on: behind `after`, one of each, or from its beginning.
template <typename Serials>
Result<engine::Engine::SliceEnds> EndsAfter(const Serials& after, const engine::Engine& engine) {
  const std::size_t shards = engine.shards_count();
  engine::Engine::SliceEnds ends;
  if (after.empty()) {
    ends.resize(shards);
    return ends;
  }
  if (static_cast<std::size_t>(after.size()) != shards)
    return InvalidArgument("slice.after is not of this coordinator");
  for (const std::uint64_t serial : after) ends.push_back({.serial = serial});
  return ends;
}

template <typename Slice>
void FillSlice(const engine::Engine::SliceEnds& ends, bool more, const engine::Engine& engine,
               Slice& slice) {
  for (const engine::SliceEnd& end : ends) slice.add_looked_at(end.serial);
  slice.set_more(more);
  slice.set_slots(static_cast<std::uint32_t>(engine.served_slots()));
}

template <typename Reply>
using Told = std::function<void(const Status&, Reply)>;

// Asks each of the others by `other`, then this coordinator by `own`; `done` has all answers.
template <typename Reply>
void AskEach(const ListScope& scope,
             const std::function<void(const cluster::Member&, Told<Reply>)>& other,
             const std::function<void(Told<Reply>)>& own,
             std::function<void(const std::vector<MemberAnswer<Reply>>&)> done) {
  using Answers = std::vector<MemberAnswer<Reply>>;
  const std::vector<cluster::Member> others = scope.router.Others();
  const auto all = std::make_shared<base::Together<Answers>>(others.size() + 1, std::move(done));
  const auto add = [all](const cluster::Member& member) -> Told<Reply> {
    return [all, member](const Status& status, Reply reply) {
      all->Add([&](Answers& answers) { answers.push_back({member, status, std::move(reply)}); });
    };
  };
  for (const cluster::Member& member : others) {
    if (scope.peers == nullptr) {
      add(member)(Unavailable("there is no way to it"), {});
    } else {
      other(member, add(member));
    }
  }
  cluster::Member self;
  self.epoch = scope.router.self();
  if (const cluster::Member* seen = scope.router.view()->Find(self.epoch)) self = *seen;
  own([&engine = scope.engine, add = add(self)](const Status& status, Reply reply) {
    reply.mutable_slice()->set_slots(static_cast<std::uint32_t>(engine.served_slots()));
    add(status, std::move(reply));
  });
}

}  // namespace assent::service

#pragma once

// Asking the other members of a cluster for what they alone know.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/base/together.h"
#include "coordinator/cluster/view.h"
#include "coordinator/service/router.h"

namespace assent::service {

// How long a member may think about what another one asks it.
inline constexpr std::chrono::milliseconds kMemberPatience{2'000};

// The way to the other members: a door's.
class Peers {
 public:
  using Heard = std::function<void(const Status&, const std::string& reply)>;

  virtual ~Peers() = default;
  // Calls a method of assent.v1 ("TransactionService/List") at a member, for what is there alone.
  // `heard` is called once, from any thread, perhaps from here; not OK: it did not answer in time.
  virtual void Ask(const cluster::Member& member, const char* method, const std::string& request,
                   std::chrono::milliseconds patience, Heard heard) = 0;
  // Who there is, with each look.
  virtual void SetView(const cluster::ViewPtr& view, std::uint64_t self) = 0;
};

template <typename Reply>
struct MemberAnswer {
  cluster::Member member;
  Status status;  // not OK: it is silent
  Reply reply;
};

inline void FillSilent(const cluster::Member& member, const Status& status, v1::SilentMember& out) {
  out.set_epoch(member.epoch);
  out.set_node(member.node);
  out.set_address(member.address);
  out.set_why(status.message());
}

// Those whose answer is missing are named, and slots that nobody serves are counted. `Reply` is
// that of a slice, and of all.
template <typename Reply>
void NoteWhatIsMissing(const Router& router, const std::vector<MemberAnswer<Reply>>& slices,
                       Reply& reply) {
  const cluster::ViewPtr view = router.view();
  std::size_t known = 0;
  for (const auto& slice : slices) {
    if (slice.status.ok()) {
      known += slice.reply.slice().slots();
      continue;
    }
    known += view->SlotsOf(slice.member.epoch).size();
    const auto& named = reply.silent();
    if (std::none_of(named.begin(), named.end(),
                     [&](const auto& one) { return one.epoch() == slice.member.epoch; }))
      FillSilent(slice.member, slice.status, *reply.add_silent());
  }
  const std::size_t left = view->slots.size() - std::min(view->slots.size(), known);
  reply.set_slots_left_out(std::max(reply.slots_left_out(), static_cast<std::uint32_t>(left)));
}

// `request` makes what each member is asked; `done` has all answers, in the order of epochs.
template <typename Reply>
void AskOthers(const Router& router, Peers* peers, const char* method,
               const std::function<std::string(const cluster::Member&)>& request,
               std::function<void(std::vector<MemberAnswer<Reply>>)> done) {
  using Answers = std::vector<MemberAnswer<Reply>>;
  const std::vector<cluster::Member> members = router.Others();
  Answers answers;
  for (const cluster::Member& member : members)
    answers.push_back({member, Unavailable("there is no way to it"), {}});
  if (answers.empty() || peers == nullptr) return done(std::move(answers));
  const auto all = std::make_shared<base::Together<Answers>>(members.size(), std::move(done),
                                                             std::move(answers));
  for (std::size_t i = 0; i < members.size(); ++i) {
    peers->Ask(members[i], method, request(members[i]), kMemberPatience,
               [all, i](const Status& status, const std::string& reply) {
                 Reply read;
                 const bool readable = !status.ok() || read.ParseFromString(reply);
                 all->Add([&](Answers& heard) {
                   heard[i].status = readable ? status : Internal("its answer cannot be read");
                   heard[i].reply = std::move(read);
                 });
               });
  }
}

}  // namespace assent::service

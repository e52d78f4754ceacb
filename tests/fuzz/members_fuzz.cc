// What other coordinators answer, as bytes of the wire or drawn, into what this one makes of it for
// its callers: lists, participants, figures, the cluster. Every call is answered, once, with what a
// client can read, whatever they say; a page has no more rows than were asked for.
//
//   three answers; then which call, and how

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>
#include <assent/status.h>

#include "assent/v1/cluster.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/engine/engine.h"
#include "coordinator/service/service.h"
#include "tests/engine/engine_rig.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/quiet.h"
#include "tests/service/inbox.h"

namespace assent::fuzz {
namespace {

constexpr Slot kSlotsCount = 4;
constexpr std::uint64_t kSelf = 2;
// Of one call; only a call that goes round in circles asks so often.
constexpr std::size_t kMaxAskedCount = 3000;

// The other members: each question gets the next of their answers.
class Others final : public service::Peers {
 public:
  struct Answer {
    bool silent = false;
    std::string bytes;
  };
  std::vector<Answer> answers;
  std::size_t asked = 0;

  void Ask(const cluster::Member&, const char*, const std::string&, std::chrono::milliseconds,
           Heard heard) override {
    ASSENT_CHECK(++asked < kMaxAskedCount);
    const Answer& answer = answers[asked % answers.size()];
    heard(answer.silent ? Unavailable("connection refused") : OkStatus(), answer.bytes);
  }
  void SetView(const cluster::ViewPtr&, std::uint64_t) override {}
};

cluster::ViewPtr ViewOfThree() {
  cluster::View view;
  view.version = 1;
  for (std::uint64_t epoch = 1; epoch <= 3; ++epoch)
    view.members.push_back(
        {.epoch = epoch, .node = std::string(1, static_cast<char>('a' + epoch))});
  for (Slot slot = 0; slot < kSlotsCount; ++slot) view.slots.push_back({1 + slot % 3U, 1, 0, 0});
  return std::make_shared<const cluster::View>(std::move(view));
}

// This coordinator. Nothing that is asked of it changes anything, so that one serves all inputs.
struct Here {
  Here() : log(kSlotsCount) {
    log.grants_ = {{.slot = 1, .slot_epoch = 1}};
    engine = std::make_unique<engine::Engine>(engine::EngineOptions{}, log,
                                              [](const Status&) { ASSENT_CHECK(false); });
    ASSENT_CHECK(engine->Recover().ok());
    engine->Start(outbox);
    service::ServiceOptions options;
    options.participants = [](const std::string&) {
      return std::vector<transport::ServiceInfo>{{"books", {}, {}, 0}, {"shop", {}, {}, 0}};
    };
    options.peers = &others;
    service = std::make_unique<service::Service>(std::move(options), *engine);
    service->SetView(ViewOfThree(), kSelf);
    for (int n = 0; n < 3;) {
      const std::string gid = "here-" + std::to_string(next_++);
      if (SlotOf(gid, kSlotsCount) != 1) continue;
      v1::SubmitRequest request;
      request.mutable_transaction()->set_gid(gid);
      request.set_wait_for(v1::WAIT_ACCEPTED);
      v1::BranchSpec& branch = *request.mutable_transaction()->add_branches();
      branch.set_protocol(v1::SAGA);
      branch.set_service("books");
      branch.set_action("a");
      ASSENT_CHECK(Ask<v1::SubmitReply>(std::move(request)).first.ok());
      ++n;
    }
  }
  template <typename Reply, typename Request>
  std::pair<Status, Reply> Ask(Request request) {
    const auto asker = std::make_shared<service::Waiting<Reply>>();
    service->Take(service::Caller{}, std::move(request), asker);
    std::pair<Status, Reply> answer = asker->answers.Take();
    ASSENT_CHECK(answer.first.ok() || !answer.first.message().empty());
    Reply read;
    ASSENT_CHECK(read.ParseFromString(answer.second.SerializeAsString()));
    return answer;
  }

  engine::LockedLog log;
  engine::Outbox outbox;
  Others others;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<service::Service> service;

 private:
  int next_ = 0;
};

std::string DrawSlice(Input& in) {
  v1::ListReply reply;
  v1::MemberSliceReply& slice = *reply.mutable_slice();
  const std::uint8_t what = in.Byte();
  slice.set_more((what & 1) != 0);
  slice.set_looked_at((what & 2) != 0 ? in.Number(8) : in.Below(8));
  slice.set_look(in.Below(4));
  slice.set_rows(in.Below(4));
  slice.set_slots(static_cast<std::uint32_t>(in.Number(4)));
  for (std::size_t n = in.Below(4); n > 0; --n) {
    slice.add_serials((what & 4) != 0 ? in.Number(8) : in.Below(8));
    if ((what & 8) == 0 || n > 1) reply.add_transactions()->set_gid("t" + std::to_string(n));
  }
  return reply.SerializeAsString();
}

std::string DrawParticipants(Input& in) {
  v1::ListParticipantsReply reply;
  for (std::size_t n = in.Below(4); n > 0; --n) {
    v1::ParticipantInfo& service = *reply.add_participants();
    service.set_service(std::string(1, static_cast<char>('a' + in.Below(26))));
    service.set_waiting(in.Below(3));
    for (std::size_t k = in.Below(3); k > 0; --k)
      service.add_instances()->set_instance(std::string(1, static_cast<char>('0' + k)));
  }
  if (in.Flip()) reply.set_next_page_token(std::string(1, static_cast<char>('a' + in.Below(26))));
  return reply.SerializeAsString();
}

void Try(Input in) {
  static Here* const here = new Here;  // its threads outlive all inputs
  const std::uint8_t how = in.Byte();
  here->others.asked = 0;
  here->others.answers.clear();
  for (int n = 0; n < 3; ++n) {
    const std::uint8_t kind = in.Byte();
    here->others.answers.push_back({.silent = (kind & 7) == 0,
                                    .bytes = (kind & 8) != 0  ? std::string(in.Chunk())
                                             : (how & 3) <= 1 ? DrawSlice(in)
                                                              : DrawParticipants(in)});
  }
  switch (how & 3) {
    case 0:
    case 1: {
      v1::ListRequest request;
      request.set_page_size(1 + static_cast<std::uint32_t>(in.Below(4)));
      request.set_all((how & 4) != 0);
      if ((how & 8) != 0) request.set_page_token(std::string(in.Chunk()));
      const auto [status, page] = here->Ask<v1::ListReply>(request);
      ASSENT_CHECK(status.ok() || status.code() == Code::kInvalidArgument);
      ASSENT_CHECK(page.transactions_size() <= static_cast<int>(request.page_size()));
      if (!page.next_page_token().empty()) {
        request.set_page_token(page.next_page_token());
        ASSENT_CHECK(here->Ask<v1::ListReply>(request).first.ok());
      }
      return;
    }
    case 2: {
      v1::ListParticipantsRequest request;
      request.set_page_token(std::string(in.Chunk()));
      const auto [status, page] = here->Ask<v1::ListParticipantsReply>(request);
      ASSENT_CHECK(status.ok() && page.ByteSizeLong() <= limits::kMaxOversizedFrameBytes);
      return;
    }
    default: break;
  }
  if ((how & 4) == 0) {
    const auto [status, info] = here->Ask<v1::ServerInfo>(v1::GetServerInfoRequest());
    ASSENT_CHECK(status.ok() && info.members_size() == 3);
    return;
  }
  v1::GetClusterRequest request;
  request.set_load(true);
  const auto [status, view] = here->Ask<v1::ClusterView>(request);
  ASSENT_CHECK(status.ok() && view.members_size() == 3);
}

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Try({data, size});
  return 0;
}

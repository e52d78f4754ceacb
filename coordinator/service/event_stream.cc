#include "coordinator/service/event_stream.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include <assent/number.h>
#include <assent/text.h>

#include "coordinator/base/thread_name.h"
#include "coordinator/service/service.h"
#include "proto/words/words.h"

namespace assent::service {
namespace {

struct EventPosition {
  std::uint64_t epoch = 0;
  std::uint64_t number = 0;
};

// "7.120,9.44".
Result<std::vector<EventPosition>> ReadPositions(std::string_view text) {
  const auto wrong = [text] {
    return InvalidArgument("after is \"" + std::string(CutReason(text, 100)) +
                           "\": it takes EPOCH.N, as each event has it in `sequence`, or up to " +
                           std::to_string(kMaxPositionsCount) + " of them with commas between");
  };
  std::vector<EventPosition> positions;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(','));
    const std::size_t dot = one.find('.');
    EventPosition& position = positions.emplace_back();
    if (dot == std::string_view::npos || !ReadNumber(one.substr(0, dot), position.epoch) ||
        !ReadNumber(one.substr(dot + 1), position.number) || positions.size() > kMaxPositionsCount)
      return wrong();
    text.remove_prefix(one.size());
    if (text == ",") return wrong();
    if (!text.empty()) text.remove_prefix(1);
  }
  return positions;
}

Result<engine::EventFilter> FilterOf(const v1::EventsRequest& request) {
  engine::EventFilter filter;
  filter.asks_for_person = request.needs_operator();
  filter.service = request.service();
  filter.gid_prefix = request.gid_prefix();
  if (request.kinds_size() > 0) filter.kinds.reset();
  for (const int kind : request.kinds()) {
    const auto known = wire::FromWire<EventKind>(static_cast<v1::EventKind>(kind));
    if (!known.has_value()) {
      return InvalidArgument("kinds has " + std::to_string(kind) +
                             ": it takes values of EventKind, such as BEGAN");
    }
    filter.kinds.set(static_cast<std::size_t>(*known));
  }
  return filter;
}

Status Stopping() { return Unavailable("this coordinator is stopping"); }

std::string SentenceOf(const engine::Event& event) {
  const auto text = [](std::string_view words) { return std::string(words); };
  switch (event.kind) {
    case EventKind::kBegan: return "began";
    case EventKind::kDecided:
      return "decided: " + text(Name(event.decision)) +
             (event.text.empty() ? "" : ": " + text(event.text));
    case EventKind::kEnded: return "ended " + text(Name(event.outcome));
    case EventKind::kNeedsPerson: return text(event.text);
    case EventKind::kNeedsNobody: return "needs no person any more";
    case EventKind::kIntervened:
      return text(event.verb) +
             (event.branch_id.empty() ? "" : " of branch " + text(event.branch_id)) + " by " +
             text(event.who) + (event.text.empty() ? "" : ": " + text(event.text));
    case EventKind::kServiceAway:
      return "nobody of " + text(event.service) + " can be reached, and transactions wait for it";
    case EventKind::kNobodyWaits:
      return "no transaction waits for " + text(event.service) + " any more";
  }
  return {};
}

}  // namespace

void ToProto(const engine::Event& event, std::uint64_t epoch, v1::Event& out) {
  out.set_sequence(std::to_string(epoch) + "." + std::to_string(event.number));
  out.set_at_unix_ms(event.at.time_since_epoch().count());
  out.set_kind(wire::ToWire(event.kind));
  out.set_gid(std::string(event.gid));
  out.set_state(wire::ToWire(event.state));
  out.set_decision(wire::ToWire(event.decision));
  out.set_outcome(wire::ToWire(event.outcome));
  out.set_service(std::string(event.service));
  out.set_sentence(SentenceOf(event));
  if (event.kind != EventKind::kIntervened) return;
  out.set_verb(std::string(event.verb));
  out.set_branch_id(std::string(event.branch_id));
  out.set_who(std::string(event.who));
  out.set_reason(std::string(event.text));
}

// ---- A stream -----------------------------------------------------------------------------------

void EventStream::Start(const Caller&, const v1::EventsRequest& request) {
  const bool joined = service_.event_hub().Join(shared_from_this());
  const MutexLock lock(mutex_);
  Status entered = joined ? Enter(request) : Stopping();
  if (!entered.ok()) return End(entered);
  ShowMore();
}

Status EventStream::Enter(const v1::EventsRequest& request) {
  Result<engine::EventFilter> filter = FilterOf(request);
  if (!filter.ok()) return filter.status();
  const auto positions = ReadPositions(request.after());
  if (!positions.ok()) return positions.status();
  const engine::Events& events = service_.engine().events();
  const std::uint64_t last = events.last();
  const std::uint64_t epoch = events.epoch();
  epoch_ = epoch;
  filter_ = *std::move(filter);
  if (request.once()) until_ = last;
  const auto own = std::find_if(positions->begin(), positions->end(),
                                [epoch](const auto& one) { return one.epoch == epoch; });
  if (own != positions->end()) {
    through_ = own->number;
    if (through_ <= last) return OkStatus();
    return InvalidArgument("after has " + Position(through_) + ": the latest event is " +
                           Position(last));
  }
  other_start_ = request.after();
  from_oldest_ = !other_start_.empty() || request.from_start();
  through_ = from_oldest_ ? 0 : last;
  return OkStatus();
}

void EventStream::Look() {
  const MutexLock lock(mutex_);
  if (begun_ && !showing_) ShowMore();
}

void EventStream::Taken() {
  const MutexLock lock(mutex_);
  showing_ = false;
  if (last_) return End(OkStatus());
  ShowMore();
}

void EventStream::Leave(const Status& why) {
  const MutexLock lock(mutex_);
  End(why);
}

std::string EventStream::Position(std::uint64_t number) const {
  return std::to_string(epoch_) + "." + std::to_string(number);
}

void EventStream::FillMissed(std::uint64_t missed_through, v1::EventsReply& reply) {
  // Of the oldest that there is, what was before is not missed.
  const bool oldest = std::exchange(from_oldest_, false);
  const bool missed = missed_through > told_missed_ && !oldest;
  told_missed_ = std::max(told_missed_, missed_through);
  if (!missed && other_start_.empty()) return;
  v1::MissedEvents& out = *reply.mutable_missed();
  out.set_other_start(!other_start_.empty());
  out.set_after(other_start_.empty() ? Position(through_) : std::exchange(other_start_, {}));
  if (missed_through > 0) out.set_through(Position(missed_through));
}

void EventStream::ShowMore() {
  for (bool more = true; more && viewer_ != nullptr;) {
    const engine::Events::Found found =
        service_.engine().events().Read(through_, filter_, kMaxEventsPerReplyCount);
    v1::EventsReply reply;
    FillMissed(found.missed_through, reply);
    std::size_t bytes = 0;
    through_ = found.through;
    more = found.more;
    for (const engine::Event& event : found.events) {
      v1::Event& told = *reply.add_events();
      ToProto(event, epoch_, told);
      bytes += told.ByteSizeLong();
      if (bytes < kMaxEventsReplyBytes) continue;
      through_ = event.number;  // what is behind it is read again
      break;
    }
    last_ = until_.has_value() && through_ >= *until_;
    if (begun_ && !last_ && reply.events_size() == 0 && !reply.has_missed() &&
        through_ - told_position_ < kMaxUntoldEventsCount)
      continue;
    begun_ = true;
    told_position_ = through_;
    reply.set_position(Position(through_));
    showing_ = true;
    const Status room = viewer_->Show(reply);
    return room.ok() ? void() : End(room);
  }
}

void EventStream::End(const Status& status) {
  const std::shared_ptr<EventViewer> viewer = std::move(viewer_);
  if (viewer != nullptr) viewer->End(status);
}

// ---- Those who wait -----------------------------------------------------------------------------

struct EventHub::Bell {
  Mutex mutex;
  CondVar changed;
  bool rung ASSENT_GUARDED_BY(mutex) = false;
  bool closed ASSENT_GUARDED_BY(mutex) = false;

  void Ring() {
    const MutexLock lock(mutex);
    rung = true;
    changed.NotifyAll();
  }
  void Close() {
    const MutexLock lock(mutex);
    closed = true;
    changed.NotifyAll();
  }
  // False: it is closed.
  bool Wait() {
    const MutexLock lock(mutex);
    while (!rung && !closed) changed.Wait(mutex);
    rung = false;
    return !closed;
  }
  bool Pause(std::chrono::milliseconds pause) {
    const MutexLock lock(mutex);
    const auto until = std::chrono::steady_clock::now() + pause;
    while (!closed && changed.WaitUntil(mutex, until)) {
    }
    return !closed;
  }
};

bool EventHub::Join(const std::shared_ptr<EventStream>& stream) {
  const MutexLock lock(mutex_);
  if (closed_) return false;
  std::erase_if(streams_, [](const auto& one) { return one.expired(); });
  streams_.push_back(stream);
  if (bell_ != nullptr) return true;
  bell_ = std::make_shared<Bell>();
  thread_ = std::thread([this, bell = bell_] { Run(bell); });
  return true;
}

std::vector<std::shared_ptr<EventStream>> EventHub::Streams() {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<EventStream>> there;
  for (const auto& one : streams_) {
    if (auto stream = one.lock()) there.push_back(std::move(stream));
  }
  return there;
}

void EventHub::Run(const std::shared_ptr<Bell>& bell) {
  base::NameThisThread("assent-events");
  std::uint64_t seen = 0;
  do {
    events_.CallWhenBehind(seen, [bell] { bell->Ring(); });
    if (!bell->Wait()) return;
    seen = events_.last();
    for (const auto& stream : Streams()) stream->Look();
  } while (bell->Pause(std::chrono::milliseconds(kEventsPauseMs)));
}

void EventHub::Close() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    if (bell_ != nullptr) bell_->Close();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
  for (const auto& stream : Streams()) stream->Leave(Stopping());
}

}  // namespace assent::service

#include "coordinator/http/events.h"

#include <algorithm>
#include <utility>

#include <assent/thread_safety.h>

#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/printer.h"
#include "coordinator/http/room.h"
#include "coordinator/service/event_stream.h"

namespace assent::http {
namespace {

// An EventSource that dials again says with the id of the latest event where it wants to go on; a
// position without an event is an id alone, which it takes note of and shows nobody.
std::string TextOf(const v1::EventsReply& reply) {
  std::string text;
  if (reply.has_missed()) text += EventText("missed", PrintJson(reply.missed()));
  for (const v1::Event& event : reply.events())
    text += EventText("event", PrintJson(event), event.sequence());
  const int count = reply.events_size();
  if (count == 0 || reply.events(count - 1).sequence() != reply.position())
    text += "id: " + reply.position() + "\n\n";
  return text;
}

class EventsCall final : public service::EventViewer,
                         public Pending,
                         public std::enable_shared_from_this<EventsCall> {
 public:
  explicit EventsCall(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  void Start(const Rooms& rooms, const service::Caller& caller, const v1::EventsRequest& request) {
    const Status room = room_.Enter(rooms.service.holdings(), service::Held::kStream, caller);
    if (!room.ok()) return End(room);
    const auto stream = std::make_shared<service::EventStream>(rooms.service, shared_from_this());
    {
      const MutexLock lock(mutex_);
      stream_ = stream;
    }
    stream->Start(caller, request);
  }

  Status Show(const v1::EventsReply& shown) override {
    std::shared_ptr<Exchange> exchange;
    {
      const MutexLock lock(mutex_);
      begun_ = true;
      exchange = exchange_;
    }
    if (exchange == nullptr) return {Code::kCancelled, "the caller has left"};
    const Status room = room_.Hold(shown.ByteSizeLong(), exchange);
    if (!room.ok()) return room;
    exchange->Show([reply = std::make_shared<v1::EventsReply>(shown)] { return TextOf(*reply); });
    return OkStatus();
  }
  void End(const Status& status) override {
    bool begun = false;
    const auto exchange = Finish(&begun);
    if (exchange == nullptr) return;
    if (!begun && !status.ok()) return exchange->Reply([status] { return Failure(status); });
    exchange->End([status] {
      return status.ok() ? EventText(kEndEvent, "{}", kEndEvent)
                         : EventText("error", StatusJson(status));
    });
  }
  std::chrono::milliseconds patience() const override { return kPatience; }
  void TimedOut() override { End(TooLateToLook(kPatience, /*asked=*/false)); }
  void Taken() override {
    room_.Taken();
    if (const auto stream = Stream(/*last=*/false)) stream->Taken();
  }
  void Close() override {
    bool begun = false;
    (void)Finish(&begun);
    room_.Leave();
    if (const auto stream = Stream(/*last=*/true))
      stream->Leave({Code::kCancelled, "the caller has left"});
  }

 private:
  std::shared_ptr<Exchange> Finish(bool* begun) {
    const MutexLock lock(mutex_);
    *begun = begun_;
    return std::move(exchange_);
  }
  std::shared_ptr<service::EventStream> Stream(bool last) {
    const MutexLock lock(mutex_);
    return last ? std::move(stream_) : stream_;
  }

  // For the first reply, which comes at once.
  static constexpr std::chrono::milliseconds kPatience{kMaxLookMs};

  Mutex mutex_;
  std::shared_ptr<Exchange> exchange_ ASSENT_GUARDED_BY(mutex_);  // nullptr: it has ended
  std::shared_ptr<service::EventStream> stream_ ASSENT_GUARDED_BY(mutex_);
  bool begun_ ASSENT_GUARDED_BY(mutex_) = false;
  Room room_;
};

}  // namespace

Status TooLateToLook(std::chrono::milliseconds after, bool asked) {
  return {asked ? Code::kDeadlineExceeded : Code::kUnavailable,
          "there has been no answer for " + std::to_string(after.count()) +
              " ms, perhaps because the log does not answer: ask again"};
}

std::string EventText(std::string_view name, std::string_view data, std::string_view id) {
  std::string text = "event: " + std::string(name) + "\n";
  if (!id.empty()) text += "id: " + std::string(id) + "\n";
  // Data of several lines is several lines of data.
  for (std::size_t from = 0; from <= data.size();) {
    const std::size_t end = std::min(data.find('\n', from), data.size());
    text += "data: " + std::string(data.substr(from, end - from)) + "\n";
    from = end + 1;
  }
  return text + "\n";
}

std::shared_ptr<Pending> BeginEvents(const Rooms& rooms, Order&& order) {
  if (order.last_event_id == kEndEvent) {
    order.exchange->Reply([] { return http::Answer{.code = 204, .type = ""}; });
    return nullptr;
  }
  auto& request = static_cast<v1::EventsRequest&>(*order.asked.request);
  // He repeats what he asked for first; where he has got to is newer.
  if (!order.last_event_id.empty()) request.set_after(order.last_event_id);
  const auto call = std::make_shared<EventsCall>(order.exchange);
  call->Start(rooms, order.caller, request);
  return call;
}

}  // namespace assent::http

#include "coordinator/http/events.h"

#include <string>
#include <utility>

#include "coordinator/http/printer.h"
#include "coordinator/http/stream.h"
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
                         public StreamCall,
                         public std::enable_shared_from_this<EventsCall> {
 public:
  explicit EventsCall(std::shared_ptr<Exchange> exchange) : StreamCall(std::move(exchange)) {}

  void Start(const Rooms& rooms, const service::Caller& caller, const v1::EventsRequest& request) {
    const Status room = Enter(rooms, caller);
    if (!room.ok()) return End(room);
    const auto stream = std::make_shared<service::EventStream>(rooms.service, shared_from_this());
    Keep([stream] { stream->Taken(); },
         [stream] {
           stream->Leave({Code::kCancelled, "the caller has left"});
         });
    stream->Start(caller, request);
  }

  Status Show(const v1::EventsReply& shown) override {
    return ShowText(shown.ByteSizeLong(),
                    [reply = std::make_shared<v1::EventsReply>(shown)] { return TextOf(*reply); });
  }
  void End(const Status& status) override { EndStream(status); }
};

}  // namespace

std::shared_ptr<Pending> BeginEvents(const Rooms& rooms, Order&& order) {
  if (HasHadTheEnd(order)) return nullptr;
  auto& request = static_cast<v1::EventsRequest&>(*order.asked.request);
  // He repeats what he asked for first; where he has got to is newer.
  if (!order.last_event_id.empty()) request.set_after(order.last_event_id);
  const auto call = std::make_shared<EventsCall>(order.exchange);
  call->Start(rooms, order.caller, request);
  return call;
}

}  // namespace assent::http

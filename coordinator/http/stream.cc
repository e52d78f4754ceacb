#include "coordinator/http/stream.h"

#include <algorithm>
#include <utility>

#include "coordinator/http/json.h"

namespace assent::http {

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

bool HasHadTheEnd(const Order& order) {
  if (order.last_event_id != kEndEvent) return false;
  order.exchange->Reply([] { return http::Answer{.code = 204, .type = ""}; });
  return true;
}

void StreamCall::Keep(std::function<void()> taken, std::function<void()> leave) {
  const MutexLock lock(mutex_);
  ASSENT_CHECK(!closed_);  // the door closes what Begin has returned
  taken_ = std::move(taken);
  leave_ = std::move(leave);
}

Status StreamCall::ShowText(std::size_t bytes, std::function<std::string()> text) {
  std::shared_ptr<Exchange> exchange;
  {
    const MutexLock lock(mutex_);
    begun_ = true;
    exchange = exchange_;
  }
  if (exchange == nullptr) return {Code::kCancelled, "the caller has left"};
  const Status room = room_.Hold(bytes, exchange);
  if (!room.ok()) return room;
  exchange->Show(std::move(text));
  return OkStatus();
}

void StreamCall::EndStream(const Status& status) {
  bool begun = false;
  const auto exchange = Finish(&begun);
  if (exchange == nullptr) return;
  if (!begun && !status.ok()) return exchange->Reply([status] { return Failure(status); });
  exchange->End([status] {
    // Whoever reconnects by himself says that he has had the last one.
    return status.ok() ? EventText(kEndEvent, "{}", kEndEvent)
                       : EventText("error", StatusJson(status));
  });
}

void StreamCall::Taken() {
  room_.Taken();
  std::function<void()> taken;
  {
    const MutexLock lock(mutex_);
    taken = taken_;
  }
  if (taken) taken();
}

void StreamCall::Close() {
  bool begun = false;
  (void)Finish(&begun);
  room_.Leave();
  std::function<void()> leave;
  {
    const MutexLock lock(mutex_);
    taken_ = nullptr;
    leave = std::move(leave_);
    closed_ = true;
  }
  if (leave) leave();
}

std::shared_ptr<Exchange> StreamCall::Finish(bool* begun) {
  const MutexLock lock(mutex_);
  *begun = begun_;
  return std::move(exchange_);
}

}  // namespace assent::http

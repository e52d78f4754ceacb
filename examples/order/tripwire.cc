#include "examples/order/tripwire.h"

#include <csignal>
#include <unistd.h>
#include <utility>

namespace shop {
namespace {

// Returns when somebody sends SIGCONT, if ever. Sent to this very thread, which therefore does not
// take another step; sent to the process, another thread might receive it, and this one go on for a
// moment.
void StopThisProcess() { raise(SIGSTOP); }

}  // namespace

std::optional<TripPoint> ParseTripPoint(std::string_view text) {
  TripPoint point;
  const std::size_t first = text.find(':');
  if (first == std::string_view::npos) return std::nullopt;
  const std::string_view when = text.substr(0, first);
  if (when != "before" && when != "after") return std::nullopt;
  point.when = when == "before" ? TripPoint::When::kBefore : TripPoint::When::kAfter;
  const std::string_view rest = text.substr(first + 1);
  const std::size_t second = rest.find(':');
  point.operation = rest.substr(0, second);
  if (second != std::string_view::npos) point.action = rest.substr(second + 1);
  if (point.operation.empty()) return std::nullopt;
  return point;
}

Tripwire::Tripwire(assent::Resource& behind, std::optional<TripPoint> point)
    : behind_(behind), point_(std::move(point)) {}

std::vector<assent::OfferedAction> Tripwire::Actions() const { return behind_.Actions(); }

void Tripwire::Execute(assent::Call call, assent::Responder respond) {
  const bool here = point_ && point_->operation == assent::OperationName(call.operation) &&
                    (point_->action.empty() || point_->action == call.action) &&
                    !tripped_.exchange(true);
  if (!here) return behind_.Execute(std::move(call), std::move(respond));
  if (point_->when == TripPoint::When::kAfter) {
    respond = [respond = std::move(respond)](assent::Reply reply) {
      StopThisProcess();
      respond(std::move(reply));
    };
  } else {
    StopThisProcess();
  }
  behind_.Execute(std::move(call), std::move(respond));
}

std::vector<assent::HeldBranch> Tripwire::Questions(std::size_t limit) {
  return behind_.Questions(limit);
}

void Tripwire::Answer(const assent::HeldBranch& branch, assent::Verdict verdict, bool finished) {
  behind_.Answer(branch, verdict, finished);
}

}  // namespace shop

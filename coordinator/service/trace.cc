#include "coordinator/service/trace.h"

#include <optional>
#include <string>
#include <utility>

#include <assent/limits.h>
#include <assent/text.h>

namespace assent::service {

bool AdoptTrace(std::string_view traceparent, std::string_view tracestate,
                v1::TransactionSpec& spec) {
  if (traceparent.empty() || !spec.traceparent().empty() || !ParseTraceparent(traceparent))
    return false;
  spec.set_traceparent(std::string(traceparent));
  spec.set_tracestate(IsTracestate(tracestate) ? std::string(tracestate) : "");
  return true;
}

Result<std::shared_ptr<const TraceContext>> TraceOf(const v1::TransactionSpec& spec) {
  const std::string& state = spec.tracestate();
  if (spec.traceparent().empty()) {
    if (!state.empty()) return InvalidArgument("tracestate is set, and traceparent is not");
    return std::shared_ptr<const TraceContext>();
  }
  std::optional<TraceContext> context = ParseTraceparent(spec.traceparent());
  if (!context) {
    return InvalidArgument("traceparent is \"" + CleanText(spec.traceparent(), 100) +
                           "\": it takes 00-TRACE-SPAN-FLAGS, in 32, 16 and 2 lower-case hex "
                           "digits, neither id zero (W3C Trace Context)");
  }
  if (!IsTracestate(state)) {
    return InvalidArgument("tracestate has " + std::to_string(state.size()) +
                           " bytes: it takes at most " +
                           std::to_string(limits::kMaxTracestateBytes) + " of printable ASCII");
  }
  context->state = state;
  return std::shared_ptr<const TraceContext>(std::make_shared<TraceContext>(*std::move(context)));
}

}  // namespace assent::service

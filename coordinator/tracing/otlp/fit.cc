#include "coordinator/tracing/otlp/fit.h"

#include <utility>

#include <assent/text.h>

namespace assent::tracing {
namespace {

void Cut(std::string& text) {
  if (text.size() > kMaxTextBytes) text.resize(CutReason(text, kMaxTextBytes).size());
}

}  // namespace

FittedSpan Fit(Span&& given) {
  FittedSpan fitted{.span = std::move(given)};
  Span& span = fitted.span;
  Cut(span.name);
  Cut(span.message);
  if (span.tracestate.size() > kMaxTracestateBytes) span.tracestate.clear();
  if (span.attributes.size() > kMaxAttributesCount) {
    fitted.dropped_attributes =
        static_cast<std::uint32_t>(span.attributes.size() - kMaxAttributesCount);
    span.attributes.resize(kMaxAttributesCount);
  }
  fitted.bytes = sizeof(FittedSpan) + span.name.size() + span.message.size() +
                 span.tracestate.size() + span.attributes.size() * sizeof(Attribute);
  for (Attribute& attribute : span.attributes) {
    auto* const text = std::get_if<std::string>(&attribute.value);
    if (text == nullptr) continue;
    Cut(*text);
    fitted.bytes += text->size();
  }
  return fitted;
}

}  // namespace assent::tracing

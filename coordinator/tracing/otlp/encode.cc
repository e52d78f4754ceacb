#include "coordinator/tracing/otlp/encode.h"

#include <algorithm>

#include <google/protobuf/arena.h>

#include <assent/overload.h>
#include <assent/text.h>

#include "coordinator/tracing/otlp/otlp.pb.h"

namespace assent::tracing {
namespace {

namespace wire = assent::otlp::v1;

constexpr const char* kScope = "assentd";

void Set(const std::string& key, const std::string& text, wire::KeyValue& made) {
  made.set_key(key);
  made.mutable_value()->set_string_value(CleanText(text, kMaxTextBytes));
}

void Set(const Attribute& attribute, wire::KeyValue& made) {
  made.set_key(attribute.key.data(), attribute.key.size());
  wire::AnyValue& value = *made.mutable_value();
  std::visit(Overload{[&](const std::string& text) {
                        value.set_string_value(CleanText(text, kMaxTextBytes));
                      },
                      [&](std::int64_t number) { value.set_int_value(number); },
                      [&](bool truth) { value.set_bool_value(truth); }},
             attribute.value);
}

// There are no times before 1970.
std::uint64_t Nanoseconds(std::int64_t unix_us) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, unix_us)) * 1000;
}

void Set(const FittedSpan& fitted, wire::Span& made) {
  const Span& span = fitted.span;
  made.set_trace_id(span.trace_id.data(), span.trace_id.size());
  made.set_span_id(span.span_id.data(), span.span_id.size());
  if (!IsZero(span.parent_id))
    made.set_parent_span_id(span.parent_id.data(), span.parent_id.size());
  made.set_trace_state(CleanText(span.tracestate, kMaxTracestateBytes));
  made.set_flags(span.flags);
  made.set_name(CleanText(span.name, kMaxTextBytes));
  made.set_kind(static_cast<int>(span.kind));
  made.set_start_time_unix_nano(Nanoseconds(span.start_unix_us));
  made.set_end_time_unix_nano(Nanoseconds(std::max(span.start_unix_us, span.end_unix_us)));
  for (const Attribute& attribute : span.attributes) Set(attribute, *made.add_attributes());
  made.set_dropped_attributes_count(fitted.dropped_attributes);
  if (span.status == SpanStatus::kUnset) return;
  made.mutable_status()->set_code(static_cast<int>(span.status));
  if (span.status == SpanStatus::kError)
    made.mutable_status()->set_message(CleanText(span.message, kMaxTextBytes));
}

// What others have made, of one of its messages.
template <typename Message>
bool Parse(std::string_view body, Message& message) {
  return message.ParseFromArray(body.data(), static_cast<int>(body.size()));
}

}  // namespace

std::string Encode(const Resource& resource, const std::vector<FittedSpan>& spans) {
  google::protobuf::Arena arena;
  auto& request = *google::protobuf::Arena::CreateMessage<wire::ExportTraceServiceRequest>(&arena);
  wire::ResourceSpans& ours = *request.add_resource_spans();
  Set("service.name", resource.service, *ours.mutable_resource()->add_attributes());
  Set("service.instance.id", resource.instance, *ours.mutable_resource()->add_attributes());
  Set("service.version", resource.version, *ours.mutable_resource()->add_attributes());
  wire::ScopeSpans& scope = *ours.add_scope_spans();
  scope.mutable_scope()->set_name(kScope);
  scope.mutable_scope()->set_version(resource.version);
  for (const FittedSpan& span : spans) Set(span, *scope.add_spans());
  return request.SerializeAsString();
}

Remark ReadRemark(std::string_view body) {
  wire::ExportTraceServiceResponse answer;
  if (!Parse(body, answer)) return {};
  const std::int64_t rejected = answer.partial_success().rejected_spans();
  return {.rejected = static_cast<std::size_t>(std::max<std::int64_t>(0, rejected)),
          .said = CleanText(answer.partial_success().error_message())};
}

std::string ReadRefusal(std::string_view body) {
  wire::Refusal refusal;
  return Parse(body, refusal) ? CleanText(refusal.message()) : "";
}

}  // namespace assent::tracing

#include "coordinator/http/openapi.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>

#include <assent/limits.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/login.h"
#include "coordinator/http/routes.h"

namespace assent::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// In the order of their names, so that every start writes the same document.
struct ByName {
  bool operator()(const Descriptor* a, const Descriptor* b) const {
    return a->full_name() < b->full_name();
  }
};
using Messages = std::set<const Descriptor*, ByName>;

std::string NameOf(const Descriptor* message) {
  // "Attempt.Result" has no dots in a reference.
  std::string name = message->full_name().substr(message->file()->package().size() + 1);
  for (char& c : name) c = c == '.' ? '_' : c;
  return name;
}

Json Ref(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

Json NumberSchema(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return {{"type", "integer"}, {"format", "int32"}};
    case FieldDescriptor::CPPTYPE_UINT32:
      return {{"type", "integer"}, {"format", "int64"}, {"minimum", 0}, {"maximum", 4294967295U}};
    case FieldDescriptor::CPPTYPE_UINT64:
      return {{"type", "string"}, {"format", "uint64"}, {"pattern", "^[0-9]{1,20}$"}};
    default: return {{"type", "string"}, {"format", "int64"}, {"pattern", "^-?[0-9]{1,19}$"}};
  }
}

Json EnumSchema(const FieldDescriptor* field) {
  Json names = Json::array();
  for (int i = 0; i < field->enum_type()->value_count(); ++i)
    names.push_back(field->enum_type()->value(i)->name());
  return {{"type", "string"}, {"enum", std::move(names)}};
}

// One value.
Json ValueSchema(const FieldDescriptor* field, Messages& used) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      used.insert(field->message_type());
      return Ref(NameOf(field->message_type()));
    case FieldDescriptor::CPPTYPE_ENUM: return EnumSchema(field);
    case FieldDescriptor::CPPTYPE_BOOL: return {{"type", "boolean"}};
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->type() == FieldDescriptor::TYPE_BYTES)
        return {{"type", "string"}, {"format", "byte"}};
      return {{"type", "string"}};
    default: return NumberSchema(field);
  }
}

Json FieldSchema(const FieldDescriptor* field, Messages& used) {
  if (field->is_map()) {
    return {{"type", "object"},
            {"additionalProperties", ValueSchema(field->message_type()->map_value(), used)}};
  }
  if (field->is_repeated()) return {{"type", "array"}, {"items", ValueSchema(field, used)}};
  return ValueSchema(field, used);
}

Json MessageSchema(const Descriptor* message, Messages& used) {
  Json properties = Json::object();
  for (int i = 0; i < message->field_count(); ++i)
    properties[message->field(i)->json_name()] = FieldSchema(message->field(i), used);
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

Json StatusSchema() {
  return {{"type", "object"},
          {"description",
           "google.rpc.Status: a canonical code, and a sentence that says what was wrong"},
          {"properties",
           {{"code", {{"type", "integer"}, {"minimum", 1}, {"maximum", 16}}},
            {"message", {{"type", "string"}}},
            {"details", {{"type", "array"}, {"items", {{"type", "object"}}}}}}},
          {"required", {"code", "message", "details"}},
          {"additionalProperties", false}};
}

// ---- Operations ---------------------------------------------------------------------------------

Json Content(const char* type, Json schema) {
  return {{type, Json{{"schema", std::move(schema)}}}};
}

struct Refusal {
  unsigned code;
  const char* why;
};

// Those of any request; each has a test (tests/http).
constexpr Refusal kRefusals[] = {
    {400, "INVALID_ARGUMENT, FAILED_PRECONDITION or OUT_OF_RANGE; or it is no HTTP"},
    {401, "UNAUTHENTICATED: there are rules, and it is not known who asks"},
    {403, "PERMISSION_DENIED, or it comes from a page of another origin"},
    {404, "NOT_FOUND: no such transaction or branch, or no such path"},
    {405, "The path takes another method"},
    {408, "The request did not come in whole in time"},
    {409, "ALREADY_EXISTS or ABORTED"},
    {411, "A body without Content-Length"},
    {413, "The body is too large"},
    {414, "The target is too long"},
    {415, "The body is not application/json"},
    {417, "Expect is something else than 100-continue"},
    {421, "Host is a name that this port does not serve"},
    {429, "RESOURCE_EXHAUSTED: try again after Retry-After"},
    {431, "The header is too large"},
    {500,
     "UNKNOWN: it may or may not have been done, ask again under the same gid; DATA_LOSS or "
     "INTERNAL"},
    {503, "UNAVAILABLE: try again after Retry-After"},
    {504, "DEADLINE_EXCEEDED: `timeout_ms` is over; the transaction goes on"},
};

void AddRefusals(bool takes_timeout, Json& responses) {
  for (const Refusal& refusal : kRefusals) {
    if (refusal.code == 504 && !takes_timeout) continue;
    Json response = {{"description", refusal.why},
                     {"content", Content("application/json", Ref("Status"))}};
    if (refusal.code == 429 || refusal.code == 503) {
      response["headers"] = {
          {"Retry-After", Json{{"description", "seconds"}, {"schema", Json{{"type", "integer"}}}}}};
    }
    responses[std::to_string(refusal.code)] = std::move(response);
  }
}

// "{gid}" and the like.
std::vector<std::string> PathParameters(std::string_view path) {
  std::vector<std::string> names;
  for (std::size_t open = path.find('{'); open != std::string_view::npos;
       open = path.find('{', open + 1))
    names.emplace_back(path.substr(open + 1, path.find('}', open) - open - 1));
  return names;
}

std::string Description(const Route& route) {
  return "How long the call may take; what it began goes on. Without it: " +
         (route.patience_ms == 0 ? "as long as it takes" : std::to_string(route.patience_ms));
}

const char kTraceHeader[] =
    "W3C Trace Context of the caller; left out if it is ill-formed, or the body says another";

Json Parameters(const Route& route) {
  Json parameters = Json::array();
  for (const std::string& name : PathParameters(route.path)) {
    static_assert(limits::kMaxGidBytes == limits::kMaxBranchIdBytes);
    parameters.push_back(
        {{"name", name},
         {"in", "path"},
         {"required", true},
         {"schema",
          {{"type", "string"},
           {"pattern", "^[A-Za-z0-9._:-]{1," + std::to_string(limits::kMaxGidBytes) + "}$"}}}});
  }
  Messages none;
  for (const FieldDescriptor* field : QueryFields(route)) {
    Json parameter = {
        {"name", field->name()}, {"in", "query"}, {"schema", FieldSchema(field, none)}};
    if (field->is_map()) parameter["style"] = "deepObject";
    if (field->is_map() || field->is_repeated()) parameter["explode"] = true;
    parameters.push_back(std::move(parameter));
  }
  if (route.takes_timeout()) {
    parameters.push_back(
        {{"name", kTimeout},
         {"in", "query"},
         {"description", Description(route)},
         {"schema",
          {{"type", "integer"}, {"format", "int64"}, {"minimum", 1}, {"maximum", kMaxWaitMs}}}});
  }
  if (std::string_view(route.body) == "transaction") {
    for (const char* name : {"traceparent", "tracestate"}) {
      parameters.push_back({{"name", name},
                            {"in", "header"},
                            {"description", kTraceHeader},
                            {"schema", {{"type", "string"}}}});
    }
  }
  return parameters;
}

std::string StreamDescription(const Route& route) {
  const std::string rest = "; or `error`, with a Status: ask again";
  if (route.descriptor().output_type() == v1::EventsReply::descriptor()) {
    return "`event`, each with an Event and its position as id; `missed`, with MissedEvents; `end` "
           "if `once` was asked for" +
           rest;
  }
  return "Events `transaction`, each with a " + NameOf(route.descriptor().output_type()) +
         "; then `end`: it has finished" + rest;
}

// What the data of each event is.
Json StreamData(const Route& route, Messages& used) {
  std::vector<std::pair<std::string, const Descriptor*>> events;
  if (route.descriptor().output_type() == v1::EventsReply::descriptor()) {
    events = {{"event", v1::Event::descriptor()}, {"missed", v1::MissedEvents::descriptor()}};
  } else {
    events = {{"transaction", route.descriptor().output_type()}};
  }
  Json data = Json::object();
  for (const auto& [name, message] : events) {
    used.insert(message);
    data[name] = Ref(NameOf(message));
  }
  return data;
}

Json OperationOf(const Route& route, Messages& used) {
  const auto& method = route.descriptor();
  Json operation = {{"operationId", route.call}, {"summary", route.summary}};
  operation["parameters"] = Parameters(route);
  const std::string_view body = route.body;
  if (!body.empty()) {
    const Descriptor* type = method.input_type();
    if (body != "*") type = type->FindFieldByName(std::string(body))->message_type();
    used.insert(type);
    operation["requestBody"] = {{"required", body != "*"},
                                {"content", Content("application/json", Ref(NameOf(type)))}};
  }
  Json responses = Json::object();
  const Json reply = Ref(NameOf(method.output_type()));
  if (route.streams()) {
    Json content = Content("text/event-stream", Json{{"type", "string"}});
    content["text/event-stream"]["x-data"] = StreamData(route, used);
    responses["200"] = {{"description", StreamDescription(route)}, {"content", content}};
    responses["204"] = {{"description", "With `Last-Event-ID: end`: there is nothing more"}};
  } else {
    used.insert(method.output_type());
    responses["200"] = {{"description", NameOf(method.output_type())},
                        {"content", Content("application/json", reply)}};
  }
  AddRefusals(route.takes_timeout(), responses);
  operation["responses"] = std::move(responses);
  return operation;
}

Json OperationOf(const OtherRoute& route) {
  Json schema = {{"type", route.path == kOpenApiPath ? "object" : "string"}};
  Json responses = {
      {"200", Json{{"description", "Yes"}, {"content", Content(route.type, schema)}}}};
  AddRefusals(/*waits=*/false, responses);
  Json operation = {{"operationId", route.id}, {"summary", route.summary}};
  if (route.path == kReadyPath) {
    responses["503"]["description"] = "Not ready, and why; or UNAVAILABLE";
    responses["503"]["content"][route.type] = {{"schema", schema}};
    operation["parameters"] = Json::array({{{"name", "verbose"},
                                            {"in", "query"},
                                            {"allowEmptyValue", true},
                                            {"description", "Each check, also those that hold"},
                                            {"schema", {{"type", "boolean"}}}}});
  }
  operation["responses"] = std::move(responses);
  return operation;
}

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

// Of the login's paths, which are no calls of the wire's.
Json LoginOperation(const char* id, const char* summary, const char* reply, bool takes_token) {
  Json operation = {{"operationId", id}, {"summary", summary}, {"parameters", Json::array()}};
  if (takes_token) {
    operation["requestBody"] = {{"required", true},
                                {"content", Content("application/json", Ref("LoginRequest"))}};
  }
  Json responses = {{"200", Json{{"description", summary},
                                 {"content", Content("application/json", Ref(reply))}}}};
  AddRefusals(/*waits=*/false, responses);
  operation["responses"] = std::move(responses);
  return operation;
}

Json ObjectSchema(Json properties) {
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

void AddLogin(Json& paths, Json& schemas) {
  const Json text = {{"type", "string"}};
  const Json flag = {{"type", "boolean"}};
  const Json token = {{"type", "string"}, {"minLength", 1}, {"maxLength", kMaxCredentialBytes}};
  schemas["LoginRequest"] = ObjectSchema({{"token", token}});
  schemas["LoginRequest"]["required"] = Json::array({"token"});
  schemas["Identity"] = ObjectSchema({{"rules", flag},
                                      {"identity", text},
                                      {"by", text},
                                      {"roles", text},
                                      {"may", Json{{"type", "array"}, {"items", text}}},
                                      {"payloads", flag},
                                      {"login", text},
                                      {"csrf", text}});
  schemas["Nothing"] = ObjectSchema(Json::object());
  paths[std::string(kLoginPath)] = {
      {"get", LoginOperation("WhoAmI", "Who one is here, and may what", "Identity", false)},
      {"post", LoginOperation("Login", "A session of the console, by a token", "Identity", true)}};
  paths[std::string(kLogoutPath)] = {
      {"post", LoginOperation("Logout", "Ends the session", "Nothing", false)}};
}

Json Document(const std::string& version) {
  Messages used;
  Json paths = Json::object();
  for (const Route& route : Routes())
    paths[route.path][Lower(route.method)] = OperationOf(route, used);
  for (const OtherRoute& route : OtherRoutes())
    paths[std::string(route.path)]["get"] = OperationOf(route);
  Json schemas = {{"Status", StatusSchema()}};
  // Messages name further ones.
  for (bool more = true; more;) {
    more = false;
    for (const Descriptor* message : Messages(used)) {
      if (schemas.contains(NameOf(message))) continue;
      schemas[NameOf(message)] = MessageSchema(message, used);
      more = true;
    }
  }
  AddLogin(paths, schemas);
  return {{"openapi", "3.0.3"},
          {"info",
           {{"title", "Assent"},
            {"version", version},
            {"description",
             "assent.v1.TransactionService by protobuf's JSON mapping. Errors are "
             "google.rpc.Status; docs/http.md says more."}}},
          {"paths", std::move(paths)},
          {"components", Json{{"schemas", std::move(schemas)}}}};
}

}  // namespace

const std::vector<OtherRoute>& OtherRoutes() {
  static const auto* const routes = new std::vector<OtherRoute>{
      {kLivePath, "Alive", "text/plain", "Whether the process answers"},
      {kReadyPath, "Ready", "text/plain",
       "Whether it takes work: started, not refusing, and a write to the log is durable"},
      {kMetricsPath, "Metrics", "text/plain", "Figures, as Prometheus reads them"},
      {kOpenApiPath, "OpenApi", "application/json", "This document"},
  };
  return *routes;
}

const std::string& OpenApi(const std::string& version) {
  static const auto* const text = new std::string(Dump(Document(version)));
  return *text;
}

}  // namespace assent::http

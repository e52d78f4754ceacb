#include "coordinator/http/routes.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>
#include <set>

#include <assent/number.h>
#include <assent/text.h>

#include "assent/v1/batch.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"

namespace assent::http {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = std::tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

Result<std::string> Decoded(std::string_view text, bool form) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += form && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return InvalidArgument("the target has a % without two hexadecimal digits");
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  for (std::string_view rest = decoded; !rest.empty();) {
    const std::size_t length = Utf8Length(rest);
    if (length == 0) return InvalidArgument("the target is not UTF-8");
    rest.remove_prefix(length);
  }
  return decoded;
}

// The verb behind the colon of a path's last segment; none in "{gid}".
std::string_view VerbOf(std::string_view segment) {
  const std::size_t colon = segment.rfind(':');
  return colon == std::string_view::npos ? std::string_view() : segment.substr(colon);
}

// The parameters, undecoded, if the path, which stands here in its segments, is one of the route's.
bool Match(const Route& route, const std::vector<std::string_view>& there,
           std::vector<std::pair<std::string_view, std::string_view>>& parameters) {
  if (there.size() != route.segments.size() || !there.back().ends_with(route.verb)) return false;
  parameters.clear();
  for (std::size_t i = 0; i < there.size(); ++i) {
    const std::string_view wanted = route.segments[i];
    std::string_view segment = there[i];
    if (i + 1 == there.size()) segment.remove_suffix(route.verb.size());
    if (wanted.starts_with('{') && !segment.empty()) {
      parameters.emplace_back(wanted.substr(1, wanted.size() - 2), segment);
    } else if (wanted != segment) {
      return false;
    }
  }
  return true;
}

Status Wrong(const std::string& name, const std::string& value, const std::string& takes) {
  return InvalidArgument(name + " is \"" + std::string(CutReason(value, 100)) + "\": it takes " +
                         takes);
}

// One value, as the query has it.
Status SetField(google::protobuf::Message& message, const FieldDescriptor* field,
                const std::string& value) {
  const Reflection& to = *message.GetReflection();
  const std::string& name = field->name();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      field->is_repeated() ? to.AddString(&message, field, value)
                           : to.SetString(&message, field, value);
      return OkStatus();
    case FieldDescriptor::CPPTYPE_BOOL:
      if (value != "true" && value != "false" && !value.empty())
        return Wrong(name, value, "true or false");
      to.SetBool(&message, field, value != "false");
      return OkStatus();
    case FieldDescriptor::CPPTYPE_INT64: {
      std::int64_t number = 0;
      if (!ReadNumber(value, number)) return Wrong(name, value, "a number");
      to.SetInt64(&message, field, number);
      return OkStatus();
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      std::uint32_t number = 0;
      if (!ReadNumber(value, number)) return Wrong(name, value, "a number from 0 to 4294967295");
      to.SetUInt32(&message, field, number);
      return OkStatus();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* const known = field->enum_type()->FindValueByName(value);
      if (known == nullptr) {
        return Wrong(name, value,
                     "a value of assent.v1." + field->enum_type()->name() + ", such as " +
                         field->enum_type()->value(1)->name());
      }
      field->is_repeated() ? to.AddEnum(&message, field, known)
                           : to.SetEnum(&message, field, known);
      return OkStatus();
    }
    default: return Internal("no query has a field such as " + name);
  }
}

void SetLabel(google::protobuf::Message& message, const FieldDescriptor* field,
              const std::string& key, const std::string& value) {
  google::protobuf::Message* entry = message.GetReflection()->AddMessage(&message, field);
  const auto* type = field->message_type();
  entry->GetReflection()->SetString(entry, type->map_key(), key);
  entry->GetReflection()->SetString(entry, type->map_value(), value);
}

Status Twice(const std::string& name) {
  return InvalidArgument("the query has \"" + std::string(CutReason(name, 100)) + "\" twice");
}

// `said`: which fields the query has had so far.
Status SetFromQuery(const Route& route, const std::string& name, const std::string& value,
                    Asked& asked, std::set<std::string>& said) {
  const auto twice = [&said](const std::string& field) { return !said.insert(field).second; };
  if (route.takes_timeout() && (name == kTimeout || name == "timeoutMs")) {
    if (twice(kTimeout)) return Twice(name);
    if (ReadNumber(value, asked.timeout_ms) && asked.timeout_ms >= 1 &&
        asked.timeout_ms <= kMaxWaitMs)
      return OkStatus();
    return Wrong(kTimeout, value, "1 to " + std::to_string(kMaxWaitMs));
  }
  const std::size_t bracket = name.find('[');
  for (const FieldDescriptor* field : QueryFields(route)) {
    const std::string_view bare = std::string_view(name).substr(0, bracket);
    if (field->name() != bare && field->json_name() != bare) continue;
    if (field->is_map() != (bracket != std::string::npos)) continue;
    if (field->is_map() && !name.ends_with(']')) break;
    // By either spelling; each key of a map is one.
    const std::string key = bracket == std::string::npos ? "" : name.substr(bracket);
    if (!field->is_repeated() || field->is_map()) {
      if (twice(field->name() + key)) return Twice(name);
    }
    if (!field->is_map()) return SetField(*asked.request, field, value);
    SetLabel(*asked.request, field, name.substr(bracket + 1, name.size() - bracket - 2), value);
    return OkStatus();
  }
  std::string takes;
  for (const FieldDescriptor* field : QueryFields(route))
    takes += (takes.empty() ? "" : ", ") + field->name() + (field->is_map() ? "[KEY]" : "");
  if (route.takes_timeout()) takes += (takes.empty() ? "" : ", ") + std::string(kTimeout);
  return InvalidArgument("the query has \"" + std::string(CutReason(name, 100)) + "\": it takes " +
                         (takes.empty() ? "nothing" : takes));
}

// What the path says; what the body says of the same field must be the same, or nothing.
Status SetFromPath(google::protobuf::Message& request, const std::string& name,
                   const std::string& value, std::string& gid) {
  google::protobuf::Message* holder = &request;
  const FieldDescriptor* field = request.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr) {
    holder = request.GetReflection()->MutableMessage(
        &request, request.GetDescriptor()->FindFieldByName("action"));
    field = holder->GetDescriptor()->FindFieldByName(name);
  }
  const std::string said = holder->GetReflection()->GetString(*holder, field);
  if (!said.empty() && said != value) {
    return InvalidArgument(name + " is \"" + value + "\" in the path and \"" +
                           std::string(CutReason(said, 100)) + "\" in the body");
  }
  holder->GetReflection()->SetString(holder, field, value);
  if (name == "gid") gid = value;
  return OkStatus();
}

}  // namespace

namespace {

std::vector<Route> Table() {
  return {
      {"POST", "/v1/transactions", "Submit", "transaction",
       "Runs a whole transaction; the same gid with the same content joins it", 0, kMaxBodyBytes},
      {"GET", "/v1/transactions", "List", "",
       "Transactions: unfinished ones, unless told otherwise", kMaxLookMs},
      {"POST", "/v1/transactions:begin", "Begin", "transaction",
       "Opens a transaction to which branches are added one by one", kMaxDeedMs},
      {"GET", "/v1/transactions/{gid}", "Get", "", "One transaction", kMaxLookMs},
      {"GET", "/v1/transactions/{gid}:watch", "Watch", "",
       "One transaction as server-sent events: as it is, and after each change", kMaxLookMs},
      {"POST", "/v1/transactions/{gid}:wait", "Wait", "*",
       "Answers when the transaction gets there"},
      {"POST", "/v1/transactions/{gid}/branches", "ExecuteBranch", "branch",
       "Adds a branch to an open transaction, and waits for its forward operation", 0,
       kMaxBranchBodyBytes},
      {"POST", "/v1/transactions/{gid}:commit", "Commit", "*",
       "Closes an open transaction and asks for its commit"},
      {"POST", "/v1/transactions/{gid}:rollback", "Rollback", "*", "Aborts an open transaction"},
      {"POST", "/v1/transactions/{gid}:abort", "Abort", "*", "An operator aborts it", kMaxDeedMs},
      {"POST", "/v1/transactions/{gid}:retry", "RetryNow", "*",
       "An operator has everything tried that waits", kMaxDeedMs},
      {"POST", "/v1/transactions/{gid}:suspend", "Suspend", "*",
       "An operator has nothing more sent for it", kMaxDeedMs},
      {"POST", "/v1/transactions/{gid}:resume", "Resume", "*", "An operator lets it go on",
       kMaxDeedMs},
      {"POST", "/v1/transactions/{gid}/branches/{branch_id}:resolve", "ResolveBranch", "*",
       "An operator declares what happened to a branch", kMaxDeedMs},
      {"POST", "/v1/transactions/{gid}:forget", "Forget", "*",
       "Removes a finished transaction from the history", kMaxDeedMs},
      {"POST", "/v1/transactions:batch", "Batch", "*",
       "An operator does one thing to all that match a filter, or has them counted"},
      {"GET", "/v1/causes", "ListCauses", "",
       "Unfinished transactions, counted by the cause for which they are not finished", kMaxLookMs},
      {"GET", "/v1/events", "Events", "",
       "What happens at this coordinator, as server-sent events; Last-Event-ID goes on behind one",
       kMaxLookMs},
      {"GET", "/v1/audit", "ListAudit", "", "What operators did, or wanted to, newest first",
       kMaxLookMs},
      {"GET", "/v1/participants", "ListParticipants", "", "Services that take part", kMaxLookMs},
      {"POST", "/v1/participants:breaker", "SetBreaker", "*",
       "An operator opens or closes the breaker of a service, or of one of its instances",
       kMaxDeedMs},
      {"GET", "/v1/server", "GetServerInfo", "", "This coordinator, and its figures", kMaxLookMs},
  };
}

std::vector<const FieldDescriptor*> FieldsOfQuery(const Route& route) {
  std::vector<const FieldDescriptor*> fields;
  const auto* const request = route.descriptor().input_type();
  if (std::string_view(route.body) == "*") return fields;
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    const bool in_path =
        std::string_view(route.path).find("{" + field->name() + "}") != std::string_view::npos;
    const bool message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map();
    // Of the streams alone.
    if (!in_path && !message && field->name() != "request_id") fields.push_back(field);
  }
  return fields;
}

// What every request would have to look for.
void Prepare(Route& route) {
  for (const auto* file :
       {v1::SubmitRequest::descriptor()->file(), v1::BatchRequest::descriptor()->file()}) {
    if (route.found == nullptr) route.found = file->service(0)->FindMethodByName(route.call);
  }
  ASSENT_CHECK(route.found != nullptr);
  route.needs = security::NeededBy(route.found->service()->full_name(), route.found->name());
  route.query_fields = FieldsOfQuery(route);
  std::string_view path = route.path;
  route.verb = VerbOf(path);
  path.remove_suffix(route.verb.size());
  route.segments = Split(path, '/');
}

}  // namespace

const std::vector<Route>& Routes() {
  static const auto* const routes = [] {
    auto* const made = new std::vector<Route>(Table());
    for (Route& route : *made) Prepare(route);
    return made;
  }();
  return *routes;
}

std::string_view PathOf(std::string_view target) { return target.substr(0, target.find('?')); }

Result<Pairs> QueryOf(std::string_view target) {
  Pairs pairs;
  const std::size_t question = target.find('?');
  if (question == std::string_view::npos) return pairs;
  for (const std::string_view part : Split(target.substr(question + 1), '&')) {
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    auto name = Decoded(part.substr(0, equals), /*form=*/true);
    if (!name.ok()) return name.status();
    auto value = Decoded(equals == std::string_view::npos ? "" : part.substr(equals + 1), true);
    if (!value.ok()) return value.status();
    pairs.emplace_back(*std::move(name), *std::move(value));
  }
  return pairs;
}

Result<Target> Find(std::string_view method, std::string_view target) {
  Target found;
  const std::vector<std::string_view> segments = Split(PathOf(target), '/');
  std::vector<std::pair<std::string_view, std::string_view>> parameters, best_parameters;
  std::size_t best = 0;
  for (const Route& route : Routes()) {
    if (!Match(route, segments, parameters)) continue;
    // "{gid}" takes what "{gid}:watch" means, so that one comes first.
    const std::size_t rank = 1 + route.verb.size();
    if (route.method != method) {
      if (found.allow.find(route.method) == std::string::npos)
        found.allow += (found.allow.empty() ? "" : ", ") + std::string(route.method);
      continue;
    }
    if (rank <= best) continue;
    best = rank;
    found.route = &route;
    best_parameters = parameters;
  }
  for (const auto& [name, value] : best_parameters) {
    auto decoded = Decoded(value, /*form=*/false);
    if (!decoded.ok()) return decoded.status();
    found.path.emplace_back(name, *std::move(decoded));
  }
  if (found.route == nullptr) return found;
  auto query = QueryOf(target);
  if (!query.ok()) return query.status();
  found.query = *std::move(query);
  return found;
}

std::size_t MaxBodyBytes(std::string_view method, std::string_view target) {
  const Result<Target> found = Find(method, target);
  return found.ok() && found->route != nullptr ? found->route->max_body_bytes : kMaxOtherBodyBytes;
}

Result<Asked> Read(const Target& target, std::string_view body) {
  const Route& route = *target.route;
  const auto* const type = route.descriptor().input_type();
  Asked asked;
  asked.request.reset(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  const std::string_view field = route.body;
  if (field.empty() && !body.empty()) return InvalidArgument("there is a body, and none is taken");
  if (!field.empty() && !body.empty()) {
    google::protobuf::Message* into =
        field == "*" ? asked.request.get()
                     : asked.request->GetReflection()->MutableMessage(
                           asked.request.get(), type->FindFieldByName(std::string(field)));
    if (Status read = FromJson(body, *into); !read.ok()) return read;
  }
  std::set<std::string> said;
  for (const auto& [name, value] : target.query) {
    if (Status set = SetFromQuery(route, name, value, asked, said); !set.ok()) return set;
  }
  for (const auto& [name, value] : target.path) {
    if (Status set = SetFromPath(*asked.request, name, value, asked.gid); !set.ok()) return set;
  }
  if (asked.gid.empty() && field == "transaction") {
    const auto* const spec = type->FindFieldByName("transaction");
    const auto& inner = asked.request->GetReflection()->GetMessage(*asked.request, spec);
    asked.gid = static_cast<const v1::TransactionSpec&>(inner).gid();
  }
  return asked;
}

}  // namespace assent::http

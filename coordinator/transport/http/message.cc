#include "coordinator/transport/http/message.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include <google/protobuf/util/json_util.h>
#include <nlohmann/json.hpp>

#include <assent/number.h>
#include <assent/text.h>

#include "coordinator/transport/wire.h"
#include "proto/json/bytes.h"

namespace assent::transport::http {
namespace {

using Json = nlohmann::json;

constexpr const char* kJsonType = "application/json";

// Without its parameters, in lower case.
std::string TypeOf(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.pop_back();
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return type;
}

// A reply as JSON.
struct Object {
  Json fields = Json(Json::value_t::discarded);  // discarded: it is none
  std::set<std::string> nested;                  // fields that are objects or lists, and left out
};

// None: it is no object, or has a field twice, which two readers may take for two replies. Nothing
// in a reply is nested, so what is costs neither memory nor, however deep, a stack.
Object ObjectIn(const std::string& body) {
  Object object;
  std::set<std::string> names;
  std::string name;
  bool twice = false;
  const auto keep = [&](int depth, Json::parse_event_t event, Json& parsed) {
    const bool begins =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (event == Json::parse_event_t::key && depth == 1) {
      name = parsed.get<std::string>();
      twice = !names.insert(name).second || twice;
    } else if (begins && depth == 1) {
      object.nested.insert(name);
    }
    return !begins || depth == 0;
  };
  Json parsed = Json::parse(body, keep, /*allow_exceptions=*/false);
  if (!twice && parsed.is_object()) object.fields = std::move(parsed);
  return object;
}

// Takes the fields of a reply, and remembers the first that is wrong.
class Fields {
 public:
  explicit Fields(const Object& object) : object_(object) {}

  std::string Text(const char* name, const char* proto_name) {
    const Json* const field = Find(name, proto_name, "a string");
    if (field == nullptr) return {};
    if (field->is_string()) return field->get<std::string>();
    Wrong(name, "a string");
    return {};
  }
  std::string Bytes(const char* name) {
    auto bytes = json::FromBase64(Text(name, name));
    if (bytes.ok()) return *std::move(bytes);
    Wrong(name, "base64");
    return {};
  }
  // A number, or one in a string, as the mapping has those of 64 bits.
  std::int64_t Number(const char* name, const char* proto_name) {
    const Json* const field = Find(name, proto_name, kWholeNumber);
    if (field == nullptr) return 0;
    if (field->is_number_unsigned() &&
        field->get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      return field->get<std::int64_t>();
    std::int64_t number = 0;
    const bool read = field->is_string() && ReadNumber(field->get<std::string>(), number);
    if (read && number >= 0) return number;
    Wrong(name, kWholeNumber);
    return 0;
  }

  void Wrong(const char* name, const char* wanted) {
    if (wrong_.empty()) wrong_ = std::string("its ") + name + " is not " + wanted;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  static constexpr const char* kWholeNumber = "a whole number, not below 0";

  // By its name in JSON or in the proto; null if it is not there, or is nothing that was wanted.
  const Json* Find(const char* name, const char* proto_name, const char* wanted) {
    for (const char* const one : {name, proto_name}) {
      if (object_.nested.contains(one)) Wrong(name, wanted);
      const auto found = object_.fields.find(one);
      if (found != object_.fields.end() && !found->is_null()) return &*found;
    }
    return nullptr;
  }

  const Object& object_;
  std::string wrong_;
};

// Empty: it is the reply.
std::string ReadReply(const std::string& body, v1::BranchReply& reply) {
  const Object object = ObjectIn(body);
  if (object.fields.is_discarded()) return "it is no object of JSON, or has a field twice";
  Fields fields(object);
  reply.set_gid(fields.Text("gid", "gid"));
  reply.set_branch_id(fields.Text("branchId", "branch_id"));
  v1::Operation operation = v1::OPERATION_UNSPECIFIED;
  if (!v1::Operation_Parse(fields.Text("operation", "operation"), &operation))
    fields.Wrong("operation", "the name of one");
  reply.set_operation(operation);
  v1::BranchReply::Kind kind = v1::BranchReply::KIND_UNSPECIFIED;
  if (!v1::BranchReply::Kind_Parse(fields.Text("kind", "kind"), &kind))
    fields.Wrong("kind", "DONE, DONE_READ_ONLY, REFUSED or RETRY_LATER");
  reply.set_kind(kind);
  reply.set_result(fields.Bytes("result"));
  reply.set_reason(fields.Text("reason", "reason"));
  reply.set_retry_after_ms(fields.Number("retryAfterMs", "retry_after_ms"));
  reply.set_blocked_by_gid(fields.Text("blockedByGid", "blocked_by_gid"));
  return fields.wrong();
}

std::string Shown(const std::string& body) {
  if (body.empty()) return "";
  return ": " + CleanText(body, kMaxBodyShownBytes) +
         (body.size() > kMaxBodyShownBytes ? "..." : "");
}

}  // namespace

std::string BodyOf(const Command& command, std::uint32_t coordinator_id) {
  v1::BranchCommand message;
  ToWire(Command(command), 0, coordinator_id, message);
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string body;
  const auto made = google::protobuf::util::MessageToJsonString(message, &body, options);
  ASSENT_CHECK(made.ok());  // its texts were checked when they came
  return body;
}

void Read(Answer answer, CallEnd& end) {
  const std::string code = "HTTP " + std::to_string(answer.code);
  const std::string type = TypeOf(answer.content_type);
  const bool taken = answer.code >= 200 && answer.code < 300;
  if (type != kReplyType && !(taken && type == kJsonType)) {
    end.words = code + (taken ? " without a reply (" + (type.empty() ? "no type" : type) + ")"
                              : Shown(answer.body));
    end.retry_after = answer.retry_after;
    return;
  }
  // A reason that is no UTF-8 costs itself alone, as on the other transports.
  const std::string wrong = ReadReply(CleanText(answer.body, answer.body.size()), end.reply);
  if (!wrong.empty()) {
    end.reply.Clear();
    end.words = code + " with a reply that cannot be read: " + CleanText(wrong);
    end.retry_after = answer.retry_after;
    return;
  }
  end.replied = true;
  if (end.reply.kind() == v1::BranchReply::RETRY_LATER && end.reply.retry_after_ms() == 0)
    end.reply.set_retry_after_ms(answer.retry_after.count());
}

}  // namespace assent::transport::http

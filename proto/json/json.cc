#include "proto/json/json.h"

#include <algorithm>
#include <cstdint>
#include <map>

#include <google/protobuf/descriptor.h>

#include <assent/text.h>

#include "proto/json/bytes.h"

namespace assent::json {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

Json BytesJson(const std::string& bytes) {
  if (IsText(bytes)) return bytes;
  return Json{{"base64", ToBase64(bytes)}};
}

Json EnumJson(const google::protobuf::EnumValueDescriptor* value) { return value->name(); }

// One value: the field itself, or with `index` >= 0 an element of it.
Json ValueJson(const Message& message, const FieldDescriptor* field, int index,
               const Options& options) {
  const Reflection& at = *message.GetReflection();
  const bool repeated = index >= 0;
  const auto plain = [&](auto get, auto get_of_list) {
    return Json(repeated ? (at.*get_of_list)(message, field, index) : (at.*get)(message, field));
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return plain(&Reflection::GetInt32, &Reflection::GetRepeatedInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return plain(&Reflection::GetInt64, &Reflection::GetRepeatedInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return plain(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return plain(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return plain(&Reflection::GetDouble, &Reflection::GetRepeatedDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return plain(&Reflection::GetFloat, &Reflection::GetRepeatedFloat);
    case FieldDescriptor::CPPTYPE_BOOL:
      return plain(&Reflection::GetBool, &Reflection::GetRepeatedBool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumJson(repeated ? at.GetRepeatedEnum(message, field, index)
                               : at.GetEnum(message, field));
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text =
          repeated ? at.GetRepeatedString(message, field, index) : at.GetString(message, field);
      return field->type() == FieldDescriptor::TYPE_BYTES ? BytesJson(text) : Json(text);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(
          repeated ? at.GetRepeatedMessage(message, field, index) : at.GetMessage(message, field),
          options);
  }
  return {};
}

// Maps are listed by key, so that equal messages give equal text.
Json MapJson(const Message& message, const FieldDescriptor* field, const Options& options) {
  const Reflection& at = *message.GetReflection();
  const FieldDescriptor* value = field->message_type()->map_value();
  std::map<std::string, Json> sorted;
  for (int i = 0; i < at.FieldSize(message, field); ++i) {
    const Message& entry = at.GetRepeatedMessage(message, field, i);
    const FieldDescriptor* key = field->message_type()->map_key();
    const Json name = ValueJson(entry, key, -1, options);
    sorted[name.is_string() ? name.get<std::string>() : name.dump()] =
        ValueJson(entry, value, -1, options);
  }
  Json json = Json::object();
  for (auto& [name, held] : sorted) json[name] = std::move(held);
  return json;
}

// What only several coordinators have to say: without it a document is that of one.
bool IsOfSeveral(const std::string& name) {
  for (const char* field :
       {"ListReply.silent", "ListReply.slots_left_out", "ListReply.slice", "ListCausesReply.silent",
        "ListCausesReply.slots_left_out", "ListCausesReply.slice", "ListParticipantsReply.silent",
        "ParticipantInfo.Instance.coordinators", "ServerInfo.members", "ServerInfo.slots_set_aside",
        "Transaction.holder", "ParticipantInfo.Instance.not_at"}) {
    if (name == std::string("assent.v1.") + field) return true;
  }
  return false;
}

// Adds the field in the shape its name asks for; most are taken as they are.
void AddField(const Message& message, const FieldDescriptor* field, const Options& options,
              Json& json) {
  const Reflection& at = *message.GetReflection();
  const std::string& name = field->full_name();
  const bool empty =
      field->is_repeated() ? at.FieldSize(message, field) == 0 : !at.HasField(message, field);
  if (empty && IsOfSeveral(name)) return;
  const bool payload = name == "assent.v1.BranchSpec.payload";
  const bool result = name == "assent.v1.Branch.result";
  const bool size =
      name == "assent.v1.BranchSpec.payload_bytes" || name == "assent.v1.Branch.result_bytes";
  const bool attempts = name == "assent.v1.Branch.attempts" ||
                        name == "assent.v1.Branch.dropped_attempts" ||
                        name == "assent.v1.Branch.attempts_left_out";
  if (options.summary && (payload || result || size || attempts)) return;
  if (payload || result) {
    // A spec that has just been read from a file, say, carries no sizes.
    Json& known = json[field->name() + "_bytes"];
    known =
        std::max<std::uint64_t>(known.get<std::uint64_t>(), at.GetString(message, field).size());
  }
  if (payload && !options.payloads) return;
  if (field->is_map()) {
    json[field->name()] = MapJson(message, field, options);
  } else if (field->is_repeated()) {
    Json list = Json::array();
    for (int i = 0; i < at.FieldSize(message, field); ++i) {
      list.push_back(ValueJson(message, field, i, options));
    }
    json[field->name()] = std::move(list);
  } else {
    json[field->name()] = ValueJson(message, field, -1, options);
  }
}

}  // namespace

Json ToJson(const Message& message, const Options& options) {
  Json json = Json::object();
  const google::protobuf::Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    AddField(message, type->field(i), options, json);
  }
  return json;
}

std::string Dump(const Json& json, int indent) {
  // It stands within strings: JSON itself has line feeds and nothing else of the kind.
  return EscapeUnseen(json.dump(indent, ' ', false, Json::error_handler_t::replace),
                      /*keep_line_feeds=*/true);
}

}  // namespace assent::json

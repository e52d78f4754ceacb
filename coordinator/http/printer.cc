#include "coordinator/http/printer.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>

#include <assent/status.h>
#include <assent/text.h>

#include "proto/json/bytes.h"

namespace assent::http {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void Print(const Message& message, std::string& out);

template <typename Number>
void PrintNumber(Number number, std::string& out) {
  char figures[24];
  out.append(figures, std::to_chars(figures, figures + sizeof figures, number).ptr);
}
// JavaScript has no such numbers.
template <typename Number>
void PrintQuoted(Number number, std::string& out) {
  out += '"';
  PrintNumber(number, out);
  out += '"';
}

bool IsPlain(char c) {
  return c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>';
}

void PrintText(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    const auto plain = std::find_if_not(text.begin(), text.end(), IsPlain);
    out.append(text.begin(), plain);
    text.remove_prefix(static_cast<std::size_t>(plain - text.begin()));
    if (text.empty()) break;
    const std::size_t length = Utf8Length(text);
    const char c = text.front();
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '<' || c == '>') {
      out += c == '<' ? "\\u003c" : "\\u003e";
    } else {
      out += length == 0 ? "?" : EscapeUnseen(text.substr(0, length), /*keep_line_feeds=*/false);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

// The field itself, or with `index` >= 0 an element of it.
void PrintValue(const Message& message, const FieldDescriptor* field, int index, std::string& out) {
  const Reflection& at = *message.GetReflection();
  const auto value = [&](auto get, auto get_of_list) {
    return index >= 0 ? (at.*get_of_list)(message, field, index) : (at.*get)(message, field);
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return PrintNumber(value(&Reflection::GetInt32, &Reflection::GetRepeatedInt32), out);
    case FieldDescriptor::CPPTYPE_UINT32:
      return PrintNumber(value(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32), out);
    case FieldDescriptor::CPPTYPE_INT64:
      return PrintQuoted(value(&Reflection::GetInt64, &Reflection::GetRepeatedInt64), out);
    case FieldDescriptor::CPPTYPE_UINT64:
      return PrintQuoted(value(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64), out);
    case FieldDescriptor::CPPTYPE_BOOL:
      out += value(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false";
      return;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = value(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue);
      const auto* const known = field->enum_type()->FindValueByNumber(number);
      return known != nullptr ? PrintText(known->name(), out) : PrintNumber(number, out);
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string room;
      const std::string& text = index >= 0
                                    ? at.GetRepeatedStringReference(message, field, index, &room)
                                    : at.GetStringReference(message, field, &room);
      if (field->type() != FieldDescriptor::TYPE_BYTES) return PrintText(text, out);
      out += '"';
      out += json::ToBase64(text);
      out += '"';
      return;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return Print(
          index >= 0 ? at.GetRepeatedMessage(message, field, index) : at.GetMessage(message, field),
          out);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: break;
  }
  ASSENT_CHECK(!"assent.v1 has no such fields");
}

void PrintMap(const Message& message, const FieldDescriptor* field, std::string& out) {
  const Reflection& at = *message.GetReflection();
  const auto* const key = field->message_type()->map_key();
  const auto* const value = field->message_type()->map_value();
  std::vector<const Message*> entries;
  for (int i = 0; i < at.FieldSize(message, field); ++i)
    entries.push_back(&at.GetRepeatedMessage(message, field, i));
  const auto key_of = [key](const Message* entry) {
    return entry->GetReflection()->GetString(*entry, key);
  };
  std::sort(entries.begin(), entries.end(),
            [&](const Message* a, const Message* b) { return key_of(a) < key_of(b); });
  out += '{';
  for (const Message* const entry : entries) {
    if (out.back() != '{') out += ',';
    PrintText(key_of(entry), out);
    out += ':';
    PrintValue(*entry, value, -1, out);
  }
  out += '}';
}

void Print(const Message& message, std::string& out) {
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  const Reflection& at = *message.GetReflection();
  out += '{';
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* const field = type.field(i);
    if (!field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
        !at.HasField(message, field))
      continue;
    if (out.back() != '{') out += ',';
    out += '"';
    out += field->json_name();
    out += "\":";
    if (field->is_map()) {
      PrintMap(message, field, out);
    } else if (field->is_repeated()) {
      out += '[';
      for (int n = 0; n < at.FieldSize(message, field); ++n) {
        if (n > 0) out += ',';
        PrintValue(message, field, n, out);
      }
      out += ']';
    } else {
      PrintValue(message, field, -1, out);
    }
  }
  out += '}';
}

}  // namespace

std::string PrintJson(const Message& message) {
  std::string out;
  out.reserve(message.ByteSizeLong() * 2);
  Print(message, out);
  return out;
}

}  // namespace assent::http

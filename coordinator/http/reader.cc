#include "coordinator/http/reader.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/limits.h>
#include <assent/number.h>
#include <assent/text.h>

#include "coordinator/http/limits.h"
#include "proto/json/bytes.h"

namespace assent::http {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// A name or a value of the caller's, as a message quotes it.
constexpr std::size_t kQuotedBytes = 100;

std::string Quoted(std::string_view text) {
  return "\"" + std::string(CutReason(text, kQuotedBytes)) + "\"";
}

// Of one list or map.
std::size_t MaxCountOf(const FieldDescriptor* field) {
  const std::string& name = field->name();
  if (name == "branches" || name == "after") return limits::kMaxBranchesCount;
  if (name == "labels") return limits::kMaxLabelsCount;
  if (name == "headers") return limits::kMaxHeadersCount;
  return kMaxListedCount;
}

// One value of it.
std::string WhatItTakes(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: return "an object";
    case FieldDescriptor::CPPTYPE_BOOL: return "true or false";
    case FieldDescriptor::CPPTYPE_STRING:
      return field->type() == FieldDescriptor::TYPE_BYTES ? "base64 in quotes" : "a text in quotes";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "a value of " + field->enum_type()->full_name() + ", such as " +
             field->enum_type()->value(1)->name();
    case FieldDescriptor::CPPTYPE_UINT32: return "a number from 0 to 4294967295";
    case FieldDescriptor::CPPTYPE_UINT64: return "a number that is not negative";
    default: return "a number";
  }
}

// Either alphabet, with or without padding.
Result<std::string> Bytes(std::string text) {
  for (char& c : text) {
    if (c == '-') c = '+';
    if (c == '_') c = '/';
  }
  if (!text.ends_with('=')) text.append((4 - text.size() % 4) % 4, '=');
  return json::FromBase64(text);
}

using Scalar = std::variant<bool, std::int64_t, std::uint64_t, std::string*>;

// The number, if it is one of this type: in figures, or in quotes.
template <typename Number>
bool ReadNumber(const Scalar& value, Number& number) {
  if (const auto* const text = std::get_if<std::string*>(&value))
    return assent::ReadNumber(**text, number);
  const auto convert = [&number](auto given) {
    number = static_cast<Number>(given);
    return std::in_range<Number>(given);
  };
  if (const auto* const given = std::get_if<std::int64_t>(&value)) return convert(*given);
  const auto* const given = std::get_if<std::uint64_t>(&value);
  return given != nullptr && convert(*given);
}

// What nlohmann's parser sees, in its order; false ends it. The names are its own.
class Reader {
 public:
  explicit Reader(Message& outermost) : outermost_(outermost) { frames_.reserve(4); }

  Status& status() { return status_; }

  bool start_object(std::size_t) {
    if (frames_.empty()) return Enter(outermost_);
    const FieldDescriptor* const field = frames_.back().field;
    if (frames_.back().kind == Kind::kMessage && field->is_map()) {
      frames_.push_back({.kind = Kind::kMap,
                         .message = frames_.back().message,
                         .field = field,
                         .max = MaxCountOf(field)});
      return true;
    }
    if (field->is_map() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
      return Refuse("an object");
    if (frames_.back().kind == Kind::kList) {
      if (!OneMore()) return false;
    } else if (field->is_repeated()) {
      return Refuse("an object");
    }
    Message& in = *frames_.back().message;
    const Reflection& to = *in.GetReflection();
    return Enter(field->is_repeated() ? *to.AddMessage(&in, field)
                                      : *to.MutableMessage(&in, field));
  }
  bool key(std::string& name) {
    Frame& frame = frames_.back();
    if (frame.kind == Kind::kMap) {
      if (!OneMore()) return false;
      frame.key.clear();
      if (!frame.keys.insert(name).second) return Fail(Path() + " has " + Quoted(name) + " twice");
      frame.key = name;
      return true;
    }
    frame.field = FindField(*frame.message->GetDescriptor(), name);
    if (frame.field == nullptr) return Unknown(name);
    const std::uint64_t bit = std::uint64_t{1} << frame.field->index();
    if ((std::exchange(frame.seen, frame.seen | bit) & bit) != 0)
      return Fail(Path() + " is there twice");
    return true;
  }
  bool end_object() {
    frames_.pop_back();
    return true;
  }
  bool start_array(std::size_t) {
    if (frames_.empty()) return Refuse("a list");
    const Frame& frame = frames_.back();
    if (frame.kind == Kind::kList && !OneMore()) return false;
    const FieldDescriptor* const field = frame.field;
    if (frame.kind != Kind::kMessage || !field->is_repeated() || field->is_map())
      return Refuse("a list");
    frames_.push_back(
        {.kind = Kind::kList, .message = frame.message, .field = field, .max = MaxCountOf(field)});
    return true;
  }
  bool end_array() { return end_object(); }

  // The field has its default then, as if it were not there.
  bool null() {
    const Kind kind = frames_.empty() ? Kind::kMap : frames_.back().kind;
    if (kind == Kind::kList && !OneMore()) return false;
    return kind == Kind::kMessage || Refuse("null");
  }
  bool boolean(bool value) { return Put(value, value ? "true" : "false"); }
  bool number_integer(std::int64_t value) { return Put(value, std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) { return Put(value, std::to_string(value)); }
  // 1e3 and 2.0 are whole numbers too.
  bool number_float(double value, const std::string& text) {
    constexpr double kExact = 9007199254740992;  // 2^53
    if (std::trunc(value) != value || std::abs(value) > kExact)
      return Refuse(std::string(CutReason(text, kQuotedBytes)));
    return Put(static_cast<std::int64_t>(value), text);
  }
  bool string(std::string& text) { return Put(&text, {}); }
  bool binary(std::vector<std::uint8_t>&) { return false; }  // JSON has none
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& fault) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
    std::string_view said = fault.what();
    said.remove_prefix(std::min(said.size(), said.find("] ") + 2));
    return Fail("the body is no JSON: " + CleanText(said, kQuotedBytes * 4));
  }

 private:
  enum class Kind : std::uint8_t { kMessage, kList, kMap };
  struct Frame {
    Kind kind = Kind::kMessage;
    Message* message = nullptr;              // whose list or map it is
    const FieldDescriptor* field = nullptr;  // of a message: the one that is being read
    std::size_t max = 0;
    std::size_t count = 0;
    std::uint64_t seen = 0;  // of a message, by index
    std::string key{};       // of a map
    std::set<std::string> keys{};
  };

  static const FieldDescriptor* FindField(const google::protobuf::Descriptor& type,
                                          const std::string& name) {
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* const field = type.field(i);
      if (field->json_name() == name || field->name() == name) return field;
    }
    return nullptr;
  }

  bool Enter(Message& message) {
    ASSENT_CHECK(message.GetDescriptor()->field_count() <=
                 std::numeric_limits<std::uint64_t>::digits);
    frames_.push_back({.message = &message});
    return true;
  }
  // Of the list or map.
  bool OneMore() {
    Frame& frame = frames_.back();
    if (frame.count++ < frame.max) return true;
    frames_.pop_back();
    return Fail(Path() + " has more than " + std::to_string(frame.max) +
                " entries, which is the limit");
  }

  bool Put(const Scalar& value, const std::string& shown) {
    if (frames_.empty()) return Refuse(Shown(value, shown));
    Frame& frame = frames_.back();
    Message* in = frame.message;
    const FieldDescriptor* field = frame.field;
    if (frame.kind == Kind::kMessage && field->is_repeated()) return Refuse(Shown(value, shown));
    if (frame.kind == Kind::kList && !OneMore()) return false;
    if (frame.kind == Kind::kMap) {
      in = in->GetReflection()->AddMessage(in, field);
      const auto* const type = field->message_type();
      in->GetReflection()->SetString(in, type->map_key(), frame.key);
      field = type->map_value();
    }
    return Set(*in, field, value) || (status_.ok() && Refuse(Shown(value, shown)));
  }
  // False: it is of another type, or status() says more.
  bool Set(Message& in, const FieldDescriptor* field, const Scalar& value) {
    const Reflection& to = *in.GetReflection();
    const bool list = field->is_repeated();
    const auto* const text = std::get_if<std::string*>(&value);
    const auto put = [&](auto set, auto add, auto&& given) {
      list ? (to.*add)(&in, field, std::forward<decltype(given)>(given))
           : (to.*set)(&in, field, std::forward<decltype(given)>(given));
      return true;
    };
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: {
        const auto* const given = std::get_if<bool>(&value);
        return given != nullptr && put(&Reflection::SetBool, &Reflection::AddBool, *given);
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        if (text == nullptr) return false;
        if (field->type() != FieldDescriptor::TYPE_BYTES)
          return put(&Reflection::SetString, &Reflection::AddString, std::move(**text));
        Result<std::string> bytes = Bytes(std::move(**text));
        if (!bytes.ok()) return Fail(Path() + ": " + CleanText(bytes.status().message()));
        return put(&Reflection::SetString, &Reflection::AddString, *std::move(bytes));
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        std::int32_t number = 0;
        const auto* const known =
            text == nullptr ? nullptr : field->enum_type()->FindValueByName(**text);
        if (known != nullptr) number = known->number();
        if (text != nullptr ? known == nullptr : !ReadNumber(value, number)) return false;
        return put(&Reflection::SetEnumValue, &Reflection::AddEnumValue, number);
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        std::int32_t number = 0;
        return ReadNumber(value, number) &&
               put(&Reflection::SetInt32, &Reflection::AddInt32, number);
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        std::int64_t number = 0;
        return ReadNumber(value, number) &&
               put(&Reflection::SetInt64, &Reflection::AddInt64, number);
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        std::uint32_t number = 0;
        return ReadNumber(value, number) &&
               put(&Reflection::SetUInt32, &Reflection::AddUInt32, number);
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        std::uint64_t number = 0;
        return ReadNumber(value, number) &&
               put(&Reflection::SetUInt64, &Reflection::AddUInt64, number);
      }
      default: return false;
    }
  }

  static std::string Shown(const Scalar& value, const std::string& shown) {
    const auto* const text = std::get_if<std::string*>(&value);
    return text != nullptr ? Quoted(**text) : shown;
  }
  // Where the parser is: branches[2].headers[x]
  std::string Path() const {
    std::string path;
    for (const Frame& frame : frames_) {
      if (frame.kind == Kind::kList) path += "[" + std::to_string(frame.count - 1) + "]";
      if (frame.kind == Kind::kMap && !frame.key.empty())
        path += "[" + std::string(CutReason(frame.key, kQuotedBytes)) + "]";
      if (frame.kind == Kind::kMessage && frame.field != nullptr)
        path += (path.empty() ? "" : ".") + frame.field->name();
    }
    return path.empty() ? "the body" : path;
  }
  // It is something else than the field takes.
  bool Refuse(const std::string& is) {
    if (frames_.empty()) return Fail("the body is " + is + ": it takes an object");
    const Frame& frame = frames_.back();
    const FieldDescriptor* const field = frame.field;
    std::string takes;
    if (frame.kind == Kind::kMap) {
      takes = WhatItTakes(field->message_type()->map_value());
    } else if (frame.kind == Kind::kMessage && field->is_repeated()) {
      takes = field->is_map() ? "an object" : "a list";
    } else {
      takes = WhatItTakes(field);
    }
    return Fail(Path() + " is " + is + ": it takes " + takes);
  }
  bool Unknown(const std::string& name) {
    const google::protobuf::Descriptor& type = *frames_.back().message->GetDescriptor();
    std::string takes;
    for (int i = 0; i < type.field_count(); ++i)
      takes += (takes.empty() ? "" : ", ") + type.field(i)->name();
    return Fail(Path() + " has no field " + Quoted(name) + ": it takes " + takes);
  }
  bool Fail(std::string what) {
    status_ = InvalidArgument(std::move(what));
    return false;
  }

  Message& outermost_;
  std::vector<Frame> frames_;
  Status status_;
};

}  // namespace

Status ReadJson(std::string_view text, Message& message) {
  Reader reader(message);
  const bool whole = nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  ASSENT_CHECK(whole == reader.status().ok());
  return std::move(reader.status());
}

}  // namespace assent::http

#include "proto/parse/parse.h"

#include <cstdint>
#include <limits>
#include <utility>

#include <google/protobuf/descriptor.h>

#include <assent/text.h>

namespace assent::wire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr int kMaxDepth = 100;  // the parser's own limit
constexpr std::size_t kMaxShownKeyBytes = 40;

// A field on the way from the message down to a string.
struct Place {
  const Place* above;
  const FieldDescriptor* field;
  std::size_t index;     // of a repeated field
  std::string_view key;  // of a map's value
  bool is_key = false;   // the map's key itself is meant
};

std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, kMaxShownKeyBytes)) shown += c < 0x20 || c > 0x7e ? '?' : c;
  return '"' + shown + (text.size() > kMaxShownKeyBytes ? "…\"" : "\"");
}

std::string Text(const Place& place) {
  std::string text = place.above == nullptr ? "" : Text(*place.above) + ".";
  text += place.field->name();
  if (place.is_key) return "a key of " + text;
  if (place.field->is_map()) return text + "[" + Shown(place.key) + "]";
  if (place.field->is_repeated()) text += "[" + std::to_string(place.index) + "]";
  return text;
}

// How often each repeated field of one message has come; made when there is something to count.
class Counts {
 public:
  std::size_t Next(const FieldDescriptor& field) {
    if (!field.is_repeated()) return 0;
    if (counts_.empty())
      counts_.resize(static_cast<std::size_t>(field.containing_type()->field_count()));
    return counts_[static_cast<std::size_t>(field.index())]++;
  }

 private:
  std::vector<std::size_t> counts_;
};

class Walker {
 public:
  // `mend`: the same bytes, to be written to; or null.
  Walker(std::string_view bytes, char* mend) : bytes_(bytes), mend_(mend) {}

  BadText Walk(const Descriptor& type) {
    found_.whole = Message(&type, bytes_.size(), nullptr, kMaxDepth);
    return std::move(found_);
  }

  std::optional<std::vector<std::string_view>> Elements(std::uint32_t field) {
    std::vector<std::string_view> elements;
    while (at_ < bytes_.size()) {
      const auto tag = Varint(bytes_.size(), 5);
      if (!tag) return std::nullopt;
      const auto number = static_cast<std::uint32_t>(*tag) >> 3;
      const auto wire = static_cast<std::uint32_t>(*tag) & 7;
      const bool wanted = number == field && wire == kSized;
      const std::size_t begin = at_;
      if (number == 0 || !Unknown(wire, number, bytes_.size(), kMaxDepth)) return std::nullopt;
      if (!wanted) continue;
      const std::size_t end = std::exchange(at_, begin);
      (void)Varint(end, 5);
      elements.push_back(bytes_.substr(at_, end - at_));
      at_ = end;
    }
    return elements;
  }

 private:
  static constexpr std::uint32_t kVarint = 0;
  static constexpr std::uint32_t kFixed64 = 1;
  static constexpr std::uint32_t kSized = 2;
  static constexpr std::uint32_t kGroup = 3;
  static constexpr std::uint32_t kEndGroup = 4;
  static constexpr std::uint32_t kFixed32 = 5;

  std::optional<std::uint64_t> Varint(std::size_t end, std::size_t max_bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < max_bytes && at_ < end; ++i) {
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
      if ((byte & 0x80) == 0) return value;
    }
    return std::nullopt;
  }
  // The end of what has its size here; nothing if that is beyond `end`.
  std::optional<std::size_t> Sized(std::size_t end) {
    const auto size = Varint(end, 5);
    if (!size || *size > end - at_) return std::nullopt;
    return at_ + static_cast<std::size_t>(*size);
  }
  bool Skip(std::size_t count, std::size_t end) {
    if (count > end - at_) return false;
    at_ += count;
    return true;
  }

  // The fields up to `end`, or to the end of the group that was opened by `group` (whose fields are
  // nobody's).
  bool Message(const Descriptor* type, std::size_t end, const Place* above, int depth,
               std::uint32_t group = 0) {
    Counts counts;
    while (at_ < end) {
      const auto tag = Varint(end, 5);
      if (!tag) return false;
      const auto number = static_cast<std::uint32_t>(*tag) >> 3;
      const auto wire = static_cast<std::uint32_t>(*tag) & 7;
      if (number == 0) return false;
      if (wire == kEndGroup) return number == group;
      const FieldDescriptor* field = type == nullptr || wire != kSized
                                         ? nullptr
                                         : type->FindFieldByNumber(static_cast<int>(number));
      if (field != nullptr) {
        const Place place{above, field, counts.Next(*field), {}};
        if (!Field(place, end, depth)) return false;
      } else if (!Unknown(wire, number, end, depth)) {
        return false;
      }
    }
    return group == 0;
  }

  bool Unknown(std::uint32_t wire, std::uint32_t number, std::size_t end, int depth) {
    switch (wire) {
      case kVarint: return Varint(end, 10).has_value();
      case kFixed64: return Skip(8, end);
      case kFixed32: return Skip(4, end);
      case kGroup: return depth > 0 && Message(nullptr, end, nullptr, depth - 1, number);
      case kSized: {
        const auto until = Sized(end);
        if (until) at_ = *until;
        return until.has_value();
      }
      default: return false;
    }
  }

  // A field with a size before it: a string, a message, or something that is of no interest.
  bool Field(const Place& place, std::size_t end, int depth) {
    const auto until = Sized(end);
    if (!until) return false;
    const FieldDescriptor& field = *place.field;
    if (field.is_map()) return depth > 0 && Entry(place, *until, depth - 1);
    if (field.type() == FieldDescriptor::TYPE_MESSAGE)
      return depth > 0 && Message(field.message_type(), *until, &place, depth - 1);
    if (field.type() == FieldDescriptor::TYPE_STRING) String(place, *until);
    at_ = *until;
    return true;
  }

  // A map's entry is a message of a key and a value; the value is named by the key.
  bool Entry(Place place, std::size_t end, int depth) {
    const Descriptor& entry = *place.field->message_type();
    const std::size_t begin = at_;
    for (const bool values : {false, true}) {
      at_ = begin;
      while (at_ < end) {
        const auto tag = Varint(end, 5);
        if (!tag) return false;
        const auto number = static_cast<std::uint32_t>(*tag) >> 3;
        const auto wire = static_cast<std::uint32_t>(*tag) & 7;
        const FieldDescriptor* field = wire == kSized && number == (values ? 2 : 1)
                                           ? entry.FindFieldByNumber(static_cast<int>(number))
                                           : nullptr;
        if (field == nullptr) {
          if (number == 0 || !Unknown(wire, number, end, depth)) return false;
          continue;
        }
        const auto until = Sized(end);
        if (!until) return false;
        place.is_key = !values;
        if (!values) place.key = bytes_.substr(at_, *until - at_);
        if (field->type() == FieldDescriptor::TYPE_STRING) String(place, *until);
        if (field->type() == FieldDescriptor::TYPE_MESSAGE &&
            !(depth > 0 && Message(field->message_type(), *until, &place, depth - 1)))
          return false;
        at_ = *until;
      }
    }
    return true;
  }

  void String(const Place& place, std::size_t end) {
    bool bad = false;
    for (std::size_t i = at_; i < end;) {
      const std::size_t length = Utf8Length(bytes_.substr(i, end - i));
      if (length == 0) {
        bad = true;
        if (mend_ == nullptr) break;
        mend_[i] = '?';
      }
      i += length == 0 ? 1 : length;
    }
    if (!bad) return;
    ++found_.count;
    if (found_.fields.size() < kMaxNamedFieldsCount) found_.fields.push_back(Text(place));
  }

  const std::string_view bytes_;
  char* const mend_;
  std::size_t at_ = 0;
  BadText found_;
};

}  // namespace

BadText FindBadText(const Descriptor& type, std::string_view bytes) {
  return Walker(bytes, nullptr).Walk(type);
}

BadText MendText(const Descriptor& type, std::string& bytes) {
  return Walker(bytes, bytes.data()).Walk(type);
}

std::optional<std::vector<std::string_view>> Elements(std::string_view bytes, int field) {
  return Walker(bytes, nullptr).Elements(static_cast<std::uint32_t>(field));
}

Status Parse(std::string_view bytes, std::string_view what, google::protobuf::Message& message) {
  const bool fits = bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
  if (fits && message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return OkStatus();
  const BadText bad = FindBadText(*message.GetDescriptor(), bytes);
  if (bad.count == 0) {
    return InvalidArgument(std::string(what) + " is not a valid " +
                           message.GetDescriptor()->full_name() + " message");
  }
  std::string text = bad.fields.front() + " is not UTF-8: texts are, bytes go into a payload";
  if (bad.count > 1) text += " (and " + std::to_string(bad.count - 1) + " more are not)";
  return InvalidArgument(std::move(text));
}

}  // namespace assent::wire

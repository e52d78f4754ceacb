#include "tools/assentctl/json_reader.h"

#include <limits>
#include <utility>
#include <vector>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {

Result<nlohmann::ordered_json> ParseJson(std::string_view text) {
  using json = nlohmann::ordered_json;
  std::vector<std::set<std::string>> open;  // keys seen in each object that is still open
  std::string repeated;
  const auto notice = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key &&
        !open.back().insert(value.get_ref<const std::string&>()).second && repeated.empty()) {
      repeated = value.get<std::string>();
    }
    return true;
  };
  // For which the library takes what stands before it alone.
  if (text.find('\0') != std::string_view::npos)
    return InvalidArgument("not JSON: there is a NUL in it");
  try {
    json parsed = json::parse(text.begin(), text.end(), notice);
    if (!repeated.empty()) return InvalidArgument("key \"" + repeated + "\" is there twice");
    return parsed;
  } catch (const json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const std::string what = error.what();
    const std::size_t end = what.find("] ");
    return InvalidArgument("not JSON: " + (end == std::string::npos ? what : what.substr(end + 2)));
  }
}

JsonReader::JsonReader(const nlohmann::ordered_json& json, std::string path, Status& first_error)
    : json_(json.is_object() ? &json : nullptr), path_(std::move(path)), first_error_(first_error) {
  if (json_ == nullptr) Fail(path_, "must be an object, not " + std::string(json.type_name()));
}

void JsonReader::Fail(const std::string& path, const std::string& what) {
  if (!first_error_.ok()) return;
  first_error_ = InvalidArgument((path.empty() ? "the document" : Visible(path)) + " " + what);
}

std::string JsonReader::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const nlohmann::ordered_json* JsonReader::Value(const char* key) {
  known_.insert(key);
  if (json_ == nullptr) return nullptr;
  const auto found = json_->find(key);
  return found == json_->end() ? nullptr : &*found;
}

void JsonReader::Require(const char* key) {
  if (json_ != nullptr && Value(key) == nullptr) Fail(PathOf(key), "is missing");
}

void JsonReader::Text(const char* key, std::string& out) {
  const nlohmann::ordered_json* value = Value(key);
  if (value == nullptr) return;
  if (!value->is_string()) return Fail(PathOf(key), "must be a string");
  out = value->get<std::string>();
}

void JsonReader::Flag(const char* key, bool& out) {
  const nlohmann::ordered_json* value = Value(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Fail(PathOf(key), "must be true or false");
  out = value->get<bool>();
}

void JsonReader::Number(const char* key, std::uint32_t& out) {
  const nlohmann::ordered_json* value = Value(key);
  if (value == nullptr) return;
  if (!value->is_number_unsigned() ||
      value->get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
    return Fail(PathOf(key), "must be a whole number from 0 to 4294967295");
  }
  out = value->get<std::uint32_t>();
}

void JsonReader::Duration(const char* key, std::int64_t& out) {
  const nlohmann::ordered_json* value = Value(key);
  if (value == nullptr) return;
  if (!value->is_string()) return Fail(PathOf(key), "must be a duration in quotes, such as \"5s\"");
  const Result<std::int64_t> ms = ParseDuration(value->get<std::string>());
  if (!ms.ok()) return Fail(PathOf(key), "is wrong: " + ms.status().message());
  out = ms.value();
}

void JsonReader::Each(
    const char* key,
    const std::function<void(const nlohmann::ordered_json&, const std::string&)>& read) {
  const nlohmann::ordered_json* value = Value(key);
  if (value == nullptr) return;
  if (!value->is_array()) return Fail(PathOf(key), "must be an array");
  for (std::size_t i = 0; i < value->size(); ++i) {
    read((*value)[i], PathOf(key) + "[" + std::to_string(i) + "]");
  }
}

void JsonReader::Texts(const char* key, const std::function<void(std::string)>& add) {
  Each(key, [&](const nlohmann::ordered_json& value, const std::string& path) {
    if (!value.is_string()) return Fail(path, "must be a string");
    add(value.get<std::string>());
  });
}

void JsonReader::Pairs(const char* key, const std::function<void(std::string, std::string)>& add) {
  const nlohmann::ordered_json* value = Value(key);
  if (value == nullptr) return;
  if (!value->is_object()) return Fail(PathOf(key), "must be an object of strings");
  for (const auto& [name, text] : value->items()) {
    if (!text.is_string()) return Fail(PathOf(key) + "." + name, "must be a string");
    add(name, text.get<std::string>());
  }
}

void JsonReader::Finish() {
  if (json_ == nullptr) return;
  for (const auto& [key, value] : json_->items()) {
    if (known_.contains(key)) continue;
    std::string all;
    for (const std::string& name : known_) all += (all.empty() ? "" : ", ") + name;
    return Fail(PathOf(key), "is not known here; known are: " + all);
  }
}

}  // namespace assent::ctl

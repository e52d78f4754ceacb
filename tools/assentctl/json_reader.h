#pragma once

// A JSON object read key by key, with errors that name the place and no key left unread. The first
// error stays; reads after it do nothing, so that a caller checks once at the end.

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <assent/status.h>

namespace assent::ctl {

// Parses, refusing repeated keys and keeping their order. The message has line and column.
Result<nlohmann::ordered_json> ParseJson(std::string_view text);

class JsonReader {
 public:
  // `json` must be an object, or that is the error. `path` empty: the document itself.
  // `first_error` is shared by the readers of one document and outlives them.
  JsonReader(const nlohmann::ordered_json& json, std::string path, Status& first_error);

  // Each leaves `out` alone when the key is missing.
  void Text(const char* key, std::string& out);
  void Flag(const char* key, bool& out);
  void Number(const char* key, std::uint32_t& out);
  // "250ms", "5s"; in milliseconds.
  void Duration(const char* key, std::int64_t& out);
  void Texts(const char* key, const std::function<void(std::string)>& add);
  // An object of strings.
  void Pairs(const char* key, const std::function<void(std::string, std::string)>& add);
  // The value itself, or null when missing.
  const nlohmann::ordered_json* Value(const char* key);
  // An array; called with each element and its path.
  void Each(const char* key,
            const std::function<void(const nlohmann::ordered_json&, const std::string&)>& read);
  // Fails if the key is missing.
  void Require(const char* key);
  // Any key that was never asked for is an error.
  void Finish();

  // "branches[2].after".
  std::string PathOf(std::string_view key) const;
  void Fail(const std::string& path, const std::string& what);

 private:
  const nlohmann::ordered_json* json_;  // null when it is no object
  std::string path_;
  Status& first_error_;
  std::set<std::string> known_;
};

}  // namespace assent::ctl

#pragma once

// What a receiver gets: the body, and the proof of who wrote it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

namespace assent::webhook {

inline constexpr std::size_t kMinSecretBytes = 16;
inline constexpr std::size_t kMaxSecretBytes = 4096;
// The file's text without the line's end.
Result<std::string> ReadSecret(const std::string& file);

struct Branch {
  std::string id;
  std::string service;
  std::string action;
};

struct Event {
  std::string kind;
  std::string gid;
  std::vector<Branch> branches;  // those that need a person, or are at odds with the decision
  std::string why;               // a sentence
  std::string since;             // what tells it from another event of its kind and gid
  std::int64_t unix_ms = 0;
};

// Who tells.
struct Teller {
  std::string coordinator;  // the number of its log
  std::string node;         // empty: there is one
  std::string console;      // http://HOST:PORT, or empty
};

// The same event has the same id, whoever tells it and when.
std::string IdOf(const Event& event);
std::string Body(const Event& event, const std::string& id, const Teller& teller);

}  // namespace assent::webhook

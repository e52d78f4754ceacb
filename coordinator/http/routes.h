#pragma once

// What can be asked of /v1, in one table: of it requests are made, calls begun and the OpenAPI
// document written. Paths are of Google's AIPs: a resource, and after a colon what is done to it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <assent/status.h>

#include "coordinator/http/limits.h"
#include "coordinator/security/permission.h"

namespace assent::http {

struct Route {
  const char* method;
  const char* path;  // {gid}: a field of the request, or of its `action`
  const char* call;  // of assent.v1.TransactionService, or of BatchService
  const char*
      body;  // the field that the body is; "*": all fields but the path's; "": there is none
  const char* summary;
  // How long it takes without `timeout_ms`; 0: as long as it takes.
  std::int64_t patience_ms = 0;
  std::size_t max_body_bytes = kMaxOtherBodyBytes;

  // Found once, by Routes().
  const google::protobuf::MethodDescriptor* found = nullptr;
  security::Permission needs = security::Permission::kAdminister;  // of whoever asks
  std::vector<const google::protobuf::FieldDescriptor*> query_fields{};
  std::vector<std::string_view> segments{};  // of the path, without the verb
  std::string_view verb{};

  const google::protobuf::MethodDescriptor& descriptor() const { return *found; }
  bool streams() const { return descriptor().server_streaming(); }
  // A stream takes as long as there is something to show.
  bool takes_timeout() const { return !streams(); }
};

const std::vector<Route>& Routes();

// The fields of the request that neither the path nor the body has: they are asked for in the
// query. Labels are `labels[key]=value`; all others have their names, in either spelling.
inline const std::vector<const google::protobuf::FieldDescriptor*>& QueryFields(
    const Route& route) {
  return route.query_fields;
}

inline constexpr char kTimeout[] = "timeout_ms";

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A target, taken apart and decoded.
struct Target {
  const Route* route = nullptr;  // nullptr: nobody serves this path, or by other methods alone
  std::string allow{};           // those, as the header Allow has them
  Pairs path{};                  // by name
  Pairs query{};
};

// INVALID_ARGUMENT: no text can be made of it.
Result<Target> Find(std::string_view method, std::string_view target);
// Of any target: what is before the '?', and the pairs behind it.
std::string_view PathOf(std::string_view target);
Result<Pairs> QueryOf(std::string_view target);

// The most that a body for this target may have.
std::size_t MaxBodyBytes(std::string_view method, std::string_view target);

struct Asked {
  std::unique_ptr<google::protobuf::Message> request;
  std::string gid{};
  std::int64_t timeout_ms = 0;  // 0: none was given
};

// The message that is asked for.
Result<Asked> Read(const Target& target, std::string_view body);

}  // namespace assent::http

#pragma once

// Messages as JSON, in one shape for the command line, REST and the console. The schema is that of
// the proto, field by field: names as in the proto (snake_case), enum values by their names in the
// proto, integers as numbers, each field always present. docs/assentctl.md documents it, golden
// files hold it still. Three departures, for the reader's sake:
//   bytes   a JSON string when they are text, else {"base64": "..."}; the form that `submit` reads
//   sizes   `payload_bytes` and `result_bytes` stand beside a payload and a result
//   several what only several coordinators have to say is left out when nothing is said

#include <string>

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

namespace assent::json {

using Json = nlohmann::ordered_json;

struct Options {
  // Without: `payload` is left out of branches, its size stays.
  bool payloads = false;
  // For lists, in which the coordinator leaves out payloads, results and attempts: so are their
  // fields.
  bool summary = false;
};

Json ToJson(const google::protobuf::Message& message, const Options& options);

// UTF-8, with every control character escaped: the standard does not ask that of DEL and of U+0080
// to U+009F, a terminal does. `indent` -1: on one line.
std::string Dump(const Json& json, int indent);

}  // namespace assent::json

#include "tools/assentctl/submit_file.h"

#include <utility>

#include "proto/json/bytes.h"
#include "tools/assentctl/json_reader.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

using Value = nlohmann::ordered_json;

// A string is its bytes; {"base64": "..."} and nothing else is decoded; any other value is its
// compact text.
void ReadPayload(const Value& value, const std::string& path, JsonReader& reader,
                 std::string& out) {
  if (value.is_string()) {
    out = value.get<std::string>();
    return;
  }
  if (value.is_object() && value.size() == 1 && value.contains("base64") &&
      value["base64"].is_string()) {
    Result<std::string> bytes = json::FromBase64(value["base64"].get<std::string>());
    if (!bytes.ok())
      return reader.Fail(path + ".base64", "is wrong: " + Visible(bytes.status().message()));
    out = std::move(bytes.value());
    return;
  }
  out = value.dump(-1, ' ', false, Value::error_handler_t::replace);
}

void ReadRetry(const Value& json, const std::string& path, Status& error, v1::RetryPolicy& retry) {
  JsonReader reader(json, path, error);
  std::int64_t initial = 0;
  std::int64_t ceiling = 0;
  std::uint32_t attempts = 0;
  reader.Duration("initial_backoff", initial);
  reader.Duration("max_backoff", ceiling);
  reader.Number("max_attempts", attempts);
  reader.Finish();
  retry.set_initial_backoff_ms(initial);
  retry.set_max_backoff_ms(ceiling);
  retry.set_max_attempts(attempts);
}

void ReadBranch(const Value& json, const std::string& path, Status& error, v1::BranchSpec& spec) {
  JsonReader reader(json, path, error);
  for (const char* key : {"protocol", "service", "action"}) reader.Require(key);
  reader.Text("id", *spec.mutable_branch_id());
  std::string protocol;
  reader.Text("protocol", protocol);
  if (const auto known = ReadProtocol(protocol); known.has_value()) {
    spec.set_protocol(*known);
  } else {
    reader.Fail(reader.PathOf("protocol"),
                "is '" + Visible(protocol) + "'; known are 2pc, tcc and saga");
  }
  reader.Text("service", *spec.mutable_service());
  reader.Text("action", *spec.mutable_action());
  if (const Value* payload = reader.Value("payload"); payload != nullptr) {
    ReadPayload(*payload, reader.PathOf("payload"), reader, *spec.mutable_payload());
  }
  reader.Texts("after", [&](std::string id) { spec.add_after(std::move(id)); });
  bool pivot = false;
  bool check_back = false;
  bool receive_results = false;
  reader.Flag("pivot", pivot);
  reader.Flag("check_back", check_back);
  reader.Flag("receive_results", receive_results);
  spec.set_pivot(pivot);
  spec.set_check_back(check_back);
  spec.set_receive_results(receive_results);
  std::int64_t attempt_timeout = 0;
  reader.Duration("attempt_timeout", attempt_timeout);
  spec.set_attempt_timeout_ms(attempt_timeout);
  if (const Value* retry = reader.Value("retry"); retry != nullptr) {
    ReadRetry(*retry, reader.PathOf("retry"), error, *spec.mutable_retry());
  }
  reader.Pairs("headers", [&](const std::string& key, std::string value) {
    (*spec.mutable_headers())[key] = std::move(value);
  });
  reader.Finish();
}

void ReadOrdering(JsonReader& reader, v1::TransactionSpec& spec) {
  std::string ordering;
  reader.Text("ordering", ordering);
  if (ordering == "sequential") {
    spec.set_ordering(v1::ORDERING_SEQUENTIAL);
  } else if (ordering == "declared") {
    spec.set_ordering(v1::ORDERING_DECLARED);
  } else if (!ordering.empty() && ordering != "default") {
    reader.Fail("ordering",
                "is '" + Visible(ordering) + "'; known are default, sequential and declared");
  }
}

}  // namespace

Result<v1::TransactionSpec> ReadTransactionSpec(std::string_view text, const std::string& name,
                                                const std::string& gid) {
  const Result<Value> json = ParseJson(text);
  if (!json.ok()) return InvalidArgument(name + ": " + json.status().message());
  v1::TransactionSpec spec;
  Status error;
  JsonReader reader(json.value(), "", error);
  reader.Text("gid", *spec.mutable_gid());
  if (!gid.empty()) spec.set_gid(gid);
  std::int64_t deadline = 0;
  reader.Duration("deadline", deadline);
  spec.set_deadline_ms(deadline);
  ReadOrdering(reader, spec);
  reader.Pairs("labels", [&](const std::string& key, std::string value) {
    (*spec.mutable_labels())[key] = std::move(value);
  });
  reader.Require("branches");
  reader.Each("branches", [&](const Value& branch, const std::string& path) {
    ReadBranch(branch, path, error, *spec.add_branches());
  });
  reader.Finish();
  if (error.ok()) error = CheckSpec(spec);
  if (!error.ok()) return InvalidArgument(name + ": " + error.message());
  return spec;
}

}  // namespace assent::ctl

#include "tools/assentctl/audit_rows.h"

#include <cstdint>
#include <exception>
#include <limits>
#include <utility>

#include <assent/text.h>

#include "tools/assentctl/json_reader.h"

namespace assent::ctl {
namespace {

// Of a field's name, as a message quotes it.
constexpr std::size_t kMaxNameBytes = 100;

Result<audit::Kind> ReadKind(const std::string& name) {
  const auto kind = audit::KindOf(name);
  if (kind) return *kind;
  return Internal("rows of the kind '" + name + "' are of a newer version: this program cannot " +
                  "check them");
}

// Throws what JSON throws for what is not there, or of another type.
Result<audit::Row> FromJson(const Json& json) {
  const auto text = [&json](const char* key) { return json.at(key).get<std::string>(); };
  const auto number = [&json](const char* key) { return json.at(key).get<std::uint64_t>(); };
  const auto kind = ReadKind(text("kind"));
  if (!kind.ok()) return kind.status();
  audit::Row row{.chain = text("chain"),
                 .number = number("number"),
                 .kind = *kind,
                 .at_unix_ms = json.at("at_unix_ms").get<std::int64_t>(),
                 .about = {json.at("about_unix_ms").get<std::int64_t>(), number("about_epoch"),
                           number("about_number")},
                 .node = text("node"),
                 .deed = {.verb = text("verb"),
                          .gid = text("gid"),
                          .branch_id = text("branch_id"),
                          .detail = text("detail"),
                          .who = text("who"),
                          .claims = text("claims"),
                          .reason = text("reason"),
                          .address = text("address")},
                 .before = text("before"),
                 .said = text("said"),
                 .times = number("times")};
  if (const Json& code = json.at("code"); !code.is_null()) {
    const auto value = code.get<std::uint64_t>();
    if (value > std::numeric_limits<std::uint8_t>::max()) return InvalidArgument("code is none");
    row.code = static_cast<std::uint8_t>(value);
  }
  const auto hash = audit::FromHex(text("hash"));
  if (!hash) return InvalidArgument("hash is not in hex");
  row.hash = *hash;
  return row;
}

}  // namespace

Result<audit::Row> RowOf(const v1::AuditRow& in) {
  const auto kind = ReadKind(in.kind());
  if (!kind.ok()) return kind.status();
  audit::Row row{.chain = in.chain(),
                 .number = in.number(),
                 .kind = *kind,
                 .at_unix_ms = in.at_unix_ms(),
                 .about = {in.about_unix_ms(), in.about_epoch(), in.about_number()},
                 .node = in.node(),
                 .deed = {.verb = in.verb(),
                          .gid = in.gid(),
                          .branch_id = in.branch_id(),
                          .detail = in.detail(),
                          .who = in.who(),
                          .claims = in.claims(),
                          .reason = in.reason(),
                          .address = in.address()},
                 .before = in.before(),
                 .said = in.said(),
                 .times = in.times(),
                 .hash = in.hash()};
  if (in.has_code()) row.code = static_cast<std::uint8_t>(in.code());
  return row;
}

namespace {

Json JsonOf(const audit::Row& row) {
  const audit::Deed& deed = row.deed;
  return {{"chain", row.chain},
          {"number", row.number},
          {"kind", std::string(audit::NameOf(row.kind))},
          {"at_unix_ms", row.at_unix_ms},
          {"about_unix_ms", row.about.at_unix_ms},
          {"about_epoch", row.about.epoch},
          {"about_number", row.about.number},
          {"node", row.node},
          {"verb", deed.verb},
          {"gid", deed.gid},
          {"branch_id", deed.branch_id},
          {"detail", deed.detail},
          {"who", deed.who},
          {"claims", deed.claims},
          {"reason", deed.reason},
          {"address", deed.address},
          {"before", row.before},
          {"code", row.code ? Json(*row.code) : Json(nullptr)},
          {"said", row.said},
          {"times", row.times},
          {"hash", audit::Hex(row.hash)}};
}

// What is in no hash would be believed with the rest.
Status CheckIsAllOfIt(const Json& json, const audit::Row& row) {
  const Json written = JsonOf(row);
  for (const auto& [name, value] : json.items()) {
    const auto at = written.find(name);
    if (at == written.end() || value.is_number_float() || *at != value)
      return InvalidArgument("\"" + CleanText(name, kMaxNameBytes) +
                             "\" is not as it is written in a record");
  }
  return OkStatus();
}

}  // namespace

std::string AuditLine(const audit::Row& row) { return LineJson(JsonOf(row)); }

Result<audit::Row> ReadAuditLine(std::string_view line) {
  const auto json = ParseJson(line);
  if (!json.ok()) return json.status();
  try {
    auto row = FromJson(*json);
    if (!row.ok()) return row;
    const Status whole = CheckIsAllOfIt(*json, *row);
    return whole.ok() ? row : whole;
  } catch (const nlohmann::json::exception& fault) {
    return InvalidArgument(fault.what());
  }
}

}  // namespace assent::ctl

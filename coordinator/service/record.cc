#include "coordinator/service/record.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <assent/limits.h>

#include "coordinator/core/describe.h"

namespace assent::service {
namespace {

// Entries that one page looks at before it answers with what it has.
constexpr std::size_t kMaxExaminedEntriesCount = 2000;

// All that is ever on record; a test holds them to what is asked for.
// Three are of tools that work on a log which no coordinator has.
constexpr std::array<std::string_view, 16> kVerbs = {
    "abort",    "drain",   "fence",   "forget", "login", "logout",  "move",    "out-of-service",
    "put-back", "resolve", "restore", "resume", "retry", "suspend", "undrain", "unpin"};

// A page without entries would be taken for what nobody did.
Status CheckVerb(const std::string& verb) {
  if (verb.empty() || std::find(kVerbs.begin(), kVerbs.end(), verb) != kVerbs.end())
    return OkStatus();
  std::string all;
  for (const std::string_view one : kVerbs) all.append(all.empty() ? "" : ", ").append(one);
  return InvalidArgument("verb is none of " + all);
}

// The entry that was looked at last: "1700000000000-7-42".
std::string TokenOf(const audit::EntryId& id) {
  return std::to_string(id.at_unix_ms) + "-" + std::to_string(id.epoch) + "-" +
         std::to_string(id.number);
}
std::optional<audit::EntryId> ReadToken(std::string_view token) {
  audit::EntryId id;
  const auto read = [&token](auto& number, bool last) {
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), number);
    if (error != std::errc()) return false;
    token.remove_prefix(static_cast<std::size_t>(end - token.data()));
    if (last) return token.empty();
    if (!token.starts_with('-')) return false;
    token.remove_prefix(1);
    return true;
  };
  if (!read(id.at_unix_ms, false) || !read(id.epoch, false) || !read(id.number, true)) return {};
  return id;
}

bool Matches(const v1::ListAuditRequest& request, const audit::Entry& entry) {
  return entry.deed.who.starts_with(request.who()) &&
         (request.verb().empty() || entry.deed.verb == request.verb()) &&
         (!request.refused() || (entry.ended && entry.code != Code::kOk));
}

void FillEntry(const audit::Entry& entry, v1::AuditEntry& out) {
  out.set_at_unix_ms(entry.id.at_unix_ms);
  out.set_node(entry.node);
  out.set_verb(entry.deed.verb);
  out.set_gid(entry.deed.gid);
  out.set_branch_id(entry.deed.branch_id);
  out.set_detail(entry.deed.detail);
  out.set_who(entry.deed.who);
  out.set_reason(entry.deed.reason);
  out.set_address(entry.deed.address);
  if (!entry.ended) return;
  out.set_before(entry.before);
  out.set_result(std::string(CodeName(entry.code)));
  out.set_effect(entry.said);
}

void FillPage(const v1::ListAuditRequest& request, std::size_t page_size,
              const std::vector<audit::Entry>& found, v1::ListAuditReply& out) {
  std::size_t bytes = 0;
  for (const audit::Entry& entry : found) {
    if (!Matches(request, entry)) continue;
    v1::AuditEntry& shown = *out.add_entries();
    FillEntry(entry, shown);
    bytes += shown.ByteSizeLong();
    const bool full = static_cast<std::size_t>(out.entries_size()) == page_size ||
                      bytes >= limits::kMaxShownBytes / 2;
    if (!full) continue;
    if (&entry != &found.back() || found.size() == kMaxExaminedEntriesCount)
      out.set_next_page_token(TokenOf(entry.id));
    return;
  }
  if (found.size() == kMaxExaminedEntriesCount) out.set_next_page_token(TokenOf(found.back().id));
}

}  // namespace

std::string StandingOf(const core::Transaction& txn, const core::Now& now) {
  if (txn.finished()) return "FINISHED: " + std::string(core::Name(txn.outcome()));
  return std::string(core::Name(txn.phase())) + ": " + core::WhyNotFinished(txn, now);
}

void ReadRecord(audit::Audit* audit, const v1::ListAuditRequest& request,
                const AskerPtr<v1::ListAuditReply>& asker) {
  if (audit == nullptr)
    return asker->Fail({Code::kUnimplemented, "this coordinator keeps no record of actions"});
  if (request.page_size() > limits::kMaxPageSizeCount) {
    return asker->Fail(InvalidArgument("page_size is " + std::to_string(request.page_size()) +
                                       ", the limit is " +
                                       std::to_string(limits::kMaxPageSizeCount)));
  }
  if (const Status verb = CheckVerb(request.verb()); !verb.ok()) return asker->Fail(verb);
  audit::Query query{.gid = request.gid(),
                     .since_unix_ms = request.since_unix_ms(),
                     .max_rows = kMaxExaminedEntriesCount};
  if (!request.page_token().empty()) {
    const auto before = ReadToken(request.page_token());
    if (!before)
      return asker->Fail(InvalidArgument("page_token is not one that a page has ended with"));
    query.before = *before;
  }
  const std::size_t page_size =
      request.page_size() == 0 ? limits::kDefaultPageSizeCount : request.page_size();
  audit->Read(std::move(query),
              [request, page_size, asker](const Result<std::vector<audit::Entry>>& found) {
                asker->Answer(found.status(), [&](v1::ListAuditReply& out) {
                  FillPage(request, page_size, *found, out);
                });
              });
}

}  // namespace assent::service

#include "coordinator/service/record.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <future>
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
constexpr std::array<std::string_view, 21> kVerbs = {
    "abort",   "backup",  "breaker-auto", "breaker-close", "breaker-open",   "drain",    "fence",
    "forget",  "login",   "logout",       "move",          "out-of-service", "put-back", "reload",
    "resolve", "restore", "resume",       "retry",         "suspend",        "undrain",  "unpin"};

// A page without entries would be taken for what nobody did.
Status CheckVerb(const std::string& verb) {
  if (verb.empty() || std::find(kVerbs.begin(), kVerbs.end(), verb) != kVerbs.end())
    return OkStatus();
  std::string all;
  for (const std::string_view one : kVerbs) all.append(all.empty() ? "" : ", ").append(one);
  return InvalidArgument("verb is none of " + all);
}

// What may be asked for by its kind: what the chain needs for itself is in exports.
constexpr std::array<audit::Kind, 7> kShownKinds = {
    audit::Kind::kDeed,   audit::Kind::kLogin, audit::Kind::kLogout, audit::Kind::kRefused,
    audit::Kind::kReload, audit::Kind::kStart, audit::Kind::kStop};

// What is older than the chain is a deed for whoever looks.
std::string_view ShownName(audit::Kind kind) {
  return audit::NameOf(kind == audit::Kind::kOld ? audit::Kind::kDeed : kind);
}

Result<std::uint32_t> KindsOf(const v1::ListAuditRequest& request) {
  std::uint32_t kinds = 0;
  for (const std::string& name : request.kinds()) {
    const auto kind = audit::KindOf(name);
    if (!kind || std::find(kShownKinds.begin(), kShownKinds.end(), *kind) == kShownKinds.end()) {
      std::string all;
      for (const audit::Kind one : kShownKinds)
        all.append(all.empty() ? "" : ", ").append(audit::NameOf(one));
      return InvalidArgument("kinds are " + all);
    }
    kinds |= audit::Only(*kind);
    if (*kind == audit::Kind::kDeed) kinds |= audit::Only(audit::Kind::kOld);
  }
  if (kinds != 0) return kinds;
  return request.refused() ? audit::kOfPeople | audit::Only(audit::Kind::kRefused)
                           : audit::kOfPeople;
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
  // One that was another coordinator's to do, which has its own entry of it.
  if (entry.ended && entry.code == Code::kElsewhere) return false;
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
  out.set_claims(entry.deed.claims);
  out.set_kind(std::string(ShownName(entry.kind)));
  out.set_times(entry.times);
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

Status WhileOnRecord(audit::Audit& audit, audit::Deed deed, const std::function<Status()>& act) {
  std::promise<Result<audit::EntryId>> told;
  audit.Begin(std::move(deed),
              [&told](const Result<audit::EntryId>& begun) { told.set_value(begun); });
  const Result<audit::EntryId> begun = told.get_future().get();
  if (!begun.ok()) return begun.status();
  Status done = act();
  audit.End({.id = *begun, .code = done.code(), .said = done.message()});
  return done;
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
  const Result<std::uint32_t> kinds = KindsOf(request);
  if (!kinds.ok()) return asker->Fail(kinds.status());
  audit::Query query{.gid = request.gid(),
                     .kinds = *kinds,
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

namespace {

void FillRow(const audit::Row& row, v1::AuditRow& out) {
  out.set_chain(row.chain);
  out.set_number(row.number);
  out.set_kind(std::string(audit::NameOf(row.kind)));
  out.set_at_unix_ms(row.at_unix_ms);
  out.set_about_unix_ms(row.about.at_unix_ms);
  out.set_about_epoch(row.about.epoch);
  out.set_about_number(row.about.number);
  out.set_node(row.node);
  out.set_verb(row.deed.verb);
  out.set_gid(row.deed.gid);
  out.set_branch_id(row.deed.branch_id);
  out.set_detail(row.deed.detail);
  out.set_who(row.deed.who);
  out.set_claims(row.deed.claims);
  out.set_reason(row.deed.reason);
  out.set_address(row.deed.address);
  out.set_before(row.before);
  if (row.code) out.set_code(*row.code);
  out.set_said(row.said);
  out.set_times(row.times);
  out.set_hash(row.hash);
}

}  // namespace

void ReadChain(audit::Audit& audit, const v1::ReadAuditRequest& request,
               const std::function<void(const Status&, const v1::ReadAuditReply&)>& done) {
  if (request.page_size() > limits::kMaxPageSizeCount) {
    return done(InvalidArgument("page_size is " + std::to_string(request.page_size()) +
                                ", the limit is " + std::to_string(limits::kMaxPageSizeCount)),
                {});
  }
  const std::size_t max =
      request.page_size() == 0 ? limits::kMaxPageSizeCount : request.page_size();
  if (request.chain().empty()) {
    return audit.ReadChains(request.after_chain(), max,
                            [done](const Result<std::vector<audit::Span>>& found) {
                              v1::ReadAuditReply reply;
                              if (!found.ok()) return done(found.status(), reply);
                              for (const audit::Span& span : *found) {
                                v1::AuditChain& out = *reply.add_chains();
                                out.set_chain(span.chain);
                                out.set_first(span.first);
                                out.set_last(span.last);
                                out.set_hash(span.last_hash);
                              }
                              done(OkStatus(), reply);
                            });
  }
  audit.ReadRows(request.chain(), request.after(), max,
                 [done](const Result<std::vector<audit::Row>>& found) {
                   v1::ReadAuditReply reply;
                   if (!found.ok()) return done(found.status(), reply);
                   std::size_t bytes = 0;
                   for (const audit::Row& row : *found) {
                     if (bytes >= limits::kMaxShownBytes / 2) break;
                     FillRow(row, *reply.add_rows());
                     bytes += reply.rows().rbegin()->ByteSizeLong();
                   }
                   done(OkStatus(), reply);
                 });
}

}  // namespace assent::service

// The record as a chain: kept elsewhere, and checked. Nothing that anybody says is believed: each
// hash is computed here.

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "coordinator/audit/store.h"
#include "tools/assentctl/audit_rows.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

using EachRow = std::function<void(const audit::Row&)>;

constexpr std::string_view kSqliteMagic = "SQLite format 3";

// Every row behind those that `after` names, a chain at a time, as far as there are any when it
// gets there.
Status WalkServer(Session& session, const std::map<std::string, std::uint64_t>& after,
                  const EachRow& each) {
  v1::ReadAuditRequest chains;
  for (;;) {
    const auto found = session.service.ReadAudit(chains, session.options.call_timeout);
    if (!found.ok()) return found.status();
    if (found->chains().empty()) return OkStatus();
    for (const v1::AuditChain& chain : found->chains()) {
      if (chain.chain() <= chains.after_chain())
        return Internal("the coordinator answered with a chain that it had named before");
      chains.set_after_chain(chain.chain());
      v1::ReadAuditRequest rows;
      rows.set_chain(chain.chain());
      const auto known = after.find(chain.chain());
      rows.set_after(known == after.end() ? 0 : known->second);
      for (;;) {
        const auto page = session.service.ReadAudit(rows, session.options.call_timeout);
        if (!page.ok()) return page.status();
        if (page->rows().empty()) break;
        for (const v1::AuditRow& one : page->rows()) {
          const auto row = RowOf(one);
          if (!row.ok()) return row.status();
          if (one.chain() != chain.chain() || one.number() <= rows.after())
            return Internal("the coordinator answered with a row that was not asked for");
          rows.set_after(one.number());
          each(*row);
        }
      }
    }
  }
}

Status WalkFile(const std::string& path, const EachRow& each) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFound(path + ": cannot be read");
  std::array<char, kSqliteMagic.size()> head{};
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  if (std::string_view(head.data(), head.size()) == kSqliteMagic)
    return audit::WalkSqlite(path, each);
  file.clear();
  file.seekg(0);
  std::string line;
  for (std::uint64_t number = 1; std::getline(file, line); ++number) {
    const auto row = ReadAuditLine(line);
    if (!row.ok()) {
      return DataLoss(path + ": line " + std::to_string(number) +
                      " is no row of a record: " + row.status().message());
    }
    each(*row);
  }
  return OkStatus();
}

std::string HeadOf(const audit::Span& span) {
  return span.chain + ":" + std::to_string(span.last) + ":" + audit::Hex(span.last_hash);
}

Exit Tell(const audit::Verifier& verifier, Session& session) {
  const bool fits = verifier.faults().empty();
  Json json{{"rows", verifier.rows()}, {"fits", fits}};
  for (const char* key : {"faults", "notes", "heads"}) json[key] = Json::array();
  std::string text;
  for (const std::string& fault : verifier.faults()) {
    json["faults"].push_back(fault);
    text += Visible(fault) + "\n";
  }
  for (const std::string& note : verifier.notes()) {
    json["notes"].push_back(note);
    text += Visible(note) + "\n";
  }
  for (const audit::Span& span : verifier.spans()) {
    json["heads"].push_back(HeadOf(span));
    text += "head " + Visible(HeadOf(span)) + "\n";
  }
  text += Grouped(verifier.rows()) +
          " rows: " + (fits ? "each fits the one before it\n" : "NOT as they were written\n");
  switch (session.options.output) {
    case Output::kJson: session.console.Out(PrettyJson(json)); break;
    case Output::kJsonl: session.console.Out(LineJson(json)); break;
    case Output::kYaml: session.console.Out(Yaml(json)); break;
    case Output::kTable:
    case Output::kWide:
    case Output::kId: session.console.Out(text); break;
  }
  return fits ? Exit::kDone : Exit::kOther;
}

Result<audit::Verifier> Verify(const AuditVerifyCommand& command, Session& session) {
  audit::Verifier verifier;
  for (const std::string& one : command.expected) {
    if (Status status = verifier.Expect(one); !status.ok()) return status;
  }
  const EachRow take = [&verifier](const audit::Row& row) { verifier.Take(row); };
  if (command.files.empty()) {
    if (Status status = WalkServer(session, {}, take); !status.ok()) return status;
  }
  for (const std::string& file : command.files) {
    if (Status status = WalkFile(file, take); !status.ok()) return status;
  }
  verifier.Finish();
  return verifier;
}

}  // namespace

Exit RunAuditExport(const AuditExportCommand& command, Session& session) {
  std::map<std::string, std::uint64_t> after;
  for (const std::string& file : command.after) {
    const Status read = WalkFile(file, [&after](const audit::Row& row) {
      std::uint64_t& last = after[row.chain];
      last = std::max(last, row.number);
    });
    if (!read.ok()) return FailOffline(read, session);
  }
  std::map<std::string, std::uint64_t> before = after;
  std::string gaps;
  const Status walked = WalkServer(session, after, [&](const audit::Row& row) {
    std::uint64_t& last = before[row.chain];
    const auto known = after.find(row.chain);
    if (known != after.end() && last == known->second && row.number > last + 1) {
      gaps += "of " + Visible(row.chain) + ", rows " + std::to_string(last + 1) + " to " +
              std::to_string(row.number - 1) + " were retired before they were exported\n";
    }
    last = row.number;
    session.console.Out(AuditLine(row));
  });
  session.console.Err(gaps);
  return walked.ok() ? Exit::kDone : session.Fail(walked);
}

// While a coordinator is read it may retire rows, and what says so comes behind them: what does not
// fit is looked at once more.
Exit RunAuditVerify(const AuditVerifyCommand& command, Session& session) {
  auto verifier = Verify(command, session);
  if (verifier.ok() && !verifier->faults().empty() && command.files.empty())
    verifier = Verify(command, session);
  if (verifier.ok()) return Tell(*verifier, session);
  return command.files.empty() ? session.Fail(verifier.status())
                               : FailOffline(verifier.status(), session);
}

}  // namespace assent::ctl

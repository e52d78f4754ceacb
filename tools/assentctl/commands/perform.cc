#include "tools/assentctl/perform.h"

#include "tools/assentctl/json_out.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

struct Report {
  std::string gid;
  Status status;
  v1::OperatorReply reply;
};

Json ReportJson(const Report& report, bool dry_run) {
  Json json = {{"gid", report.gid},
               {"ok", report.status.ok()},
               {"dry_run", dry_run},
               {"code", std::string(CodeName(report.status.code()))},
               {"error", report.status.message()},
               {"effect", report.reply.effect()}};
  json["transaction"] =
      report.reply.has_transaction() ? ToJson(report.reply.transaction(), {}) : Json(nullptr);
  return json;
}

// Lines (table, jsonl, id) leave as soon as they are known; json and yaml are one document.
void PrintLine(const Report& report, bool dry_run, Session& session) {
  const Style style = session.MakeStyle();
  if (style.output == Output::kJsonl) {
    session.console.Out(LineJson(ReportJson(report, dry_run)));
  } else if (report.status.ok() && style.output == Output::kId) {
    session.console.Out(Visible(report.gid) + "\n");
  } else if (report.status.ok() && style.table()) {
    session.console.Out(Visible(report.gid) + ": " + (dry_run ? "(dry run) " : "") +
                        Visible(report.reply.effect()) + "\n");
  }
}

void PrintDocument(const std::vector<Report>& reports, bool dry_run, Session& session) {
  if (session.options.output != Output::kJson && session.options.output != Output::kYaml) return;
  Json list = Json::array();
  for (const Report& report : reports) list.push_back(ReportJson(report, dry_run));
  const Json json = {{"results", std::move(list)}};
  session.console.Out(session.options.output == Output::kJson ? PrettyJson(json) : Yaml(json));
}

Exit ExitOf(const std::vector<Report>& reports, std::size_t asked) {
  if (reports.size() == 1 && asked == 1) return ExitFor(reports.front().status.code());
  for (const Report& report : reports) {
    if (!report.status.ok()) return Exit::kSomeFailed;
  }
  return reports.size() == asked ? Exit::kDone : Exit::kSomeFailed;
}

// One after the other; a coordinator that is not there ends it.
Exit DoAll(const Deeds& deeds, bool dry_run, Session& session) {
  std::vector<Report> reports;
  for (const Deed& deed : deeds.deeds) {
    Report report{deed.gid, {}, {}};
    Result<v1::OperatorReply> reply =
        session.service.Operate(deed.request(dry_run), session.options.call_timeout);
    report.status = reply.status();
    if (reply.ok()) report.reply = std::move(reply.value());
    if (!report.status.ok()) {
      const std::string place = deeds.deeds.size() > 1 ? deed.gid + ": " : "";
      session.console.Err(ErrorText(Status(report.status.code(), place + report.status.message())));
    }
    PrintLine(report, dry_run, session);
    const bool away = report.status.code() == Code::kUnavailable;
    if (away && reports.empty()) return Exit::kCannotConnect;
    reports.push_back(std::move(report));
    if (away) break;
  }
  if (const std::size_t left = deeds.deeds.size() - reports.size(); left > 0) {
    session.console.Err("assentctl: not tried: the remaining " + Count(left, "transaction") + "\n");
  }
  PrintDocument(reports, dry_run, session);
  return ExitOf(reports, deeds.deeds.size());
}

// What the coordinator says it would do.
Status SayEffects(const Deeds& deeds, Session& session) {
  session.console.Err(deeds.warning);
  for (const Deed& deed : deeds.deeds) {
    const Result<v1::OperatorReply> reply =
        session.service.Operate(deed.request(true), session.options.call_timeout);
    if (!reply.ok() && deeds.deeds.size() == 1) return reply.status();
    session.console.Err(Visible(deed.gid) + ": " +
                        Visible(reply.ok() ? reply.value().effect() : reply.status().message()) +
                        "\n");
  }
  return OkStatus();
}

}  // namespace

Exit AskConsent(const std::string& verb, const std::function<Status()>& warning, bool can_ask,
                Session& session) {
  if (!can_ask) {
    session.console.Err("assentctl: " + verb +
                        " cannot be taken back and there is no terminal to ask at; add --yes, or "
                        "look first with --dry-run\n");
    return Exit::kUsage;
  }
  if (const Status told = warning(); !told.ok()) return session.Fail(told);
  session.console.Err("Go on? [y/N] ");
  const std::optional<std::string> answer = session.console.ReadLine();
  if (answer.has_value() && (Lower(*answer) == "y" || Lower(*answer) == "yes")) return Exit::kDone;
  session.console.Err("assentctl: nothing was done\n");
  return Exit::kOther;
}

Status AskReason(const std::string& verb, const std::string& wanted, Intent& intent,
                 Session& session) {
  if (!intent.reason.empty() || intent.dry_run) return OkStatus();
  if (session.surroundings.in_is_terminal && !intent.yes) {
    session.console.Err("Reason (for the record): ");
    intent.reason = session.console.ReadLine().value_or("");
  }
  if (!intent.reason.empty()) return OkStatus();
  return InvalidArgument(verb + " wants --reason: " + wanted + ", for the record");
}

v1::OperatorAction MakeAction(const std::string& gid, const Intent& intent, bool dry_run,
                              const Session& session) {
  v1::OperatorAction action;
  action.set_gid(gid);
  action.set_who(intent.who.empty() ? session.surroundings.who : intent.who);
  action.set_reason(intent.reason);
  action.set_dry_run(dry_run);
  return action;
}

Exit Perform(const Deeds& deeds, const Intent& intent, Session& session) {
  if (intent.dry_run) return DoAll(deeds, true, session);
  if (deeds.needs_consent && !intent.yes) {
    const bool can_ask = session.surroundings.in_is_terminal && !deeds.stdin_taken;
    const Exit answer = AskConsent(
        deeds.verb, [&] { return SayEffects(deeds, session); }, can_ask, session);
    if (answer != Exit::kDone) return answer;
  }
  return DoAll(deeds, false, session);
}

}  // namespace assent::ctl

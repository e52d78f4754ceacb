#include "tools/assentctl/server_view.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// How many can be reached, of how many are configured if those are more.
Cell Instances(const v1::ParticipantInfo& participant) {
  const auto left_out = static_cast<std::ptrdiff_t>(participant.instances_left_out());
  const auto all = participant.instances_size() + left_out;
  const auto connected =
      left_out +
      std::count_if(participant.instances().begin(), participant.instances().end(),
                    [](const auto& instance) { return instance.connected_unix_ms() != 0; });
  if (connected == 0) return Cell("none", Tone::kBad);
  // What a coordinator has that one of them has no way to waits, unless another instance serves it.
  std::set<std::string> nodes;
  for (const auto& instance : participant.instances())
    nodes.insert(instance.not_at().begin(), instance.not_at().end());
  std::string missing;
  for (const std::string& node : nodes) missing += (missing.empty() ? "" : ", ") + node;
  if (!missing.empty()) missing = (all == 1 ? "; not at " : "; not all at ") + missing;
  const auto alone = std::count_if(participant.instances().begin(), participant.instances().end(),
                                   [](const auto& one) { return one.breaker().state() == "open"; });
  if (participant.breaker().state() == "open") {
    missing += "; breaker open";
  } else if (alone > 0) {
    missing += "; " + std::to_string(alone) + " left alone";
  }
  const std::string text = std::to_string(all);
  if (connected == all) return {text + missing, missing.empty() ? Tone::kPlain : Tone::kWarn};
  return {std::to_string(connected) + " of " + text + missing, Tone::kWarn};
}

// When it connected, and to whom it is not.
std::string Connected(const v1::ParticipantInfo::Instance& instance, const Style& style) {
  std::string missing;
  for (const std::string& node : instance.not_at())
    missing += (missing.empty() ? " (not at " : ", ") + node;
  return Moment(instance.connected_unix_ms(), style) + missing + (missing.empty() ? "" : ")");
}

// Why it gets nothing, or little: what a person has said, or its own.
Cell Breaker(const v1::ParticipantInfo& participant,
             const v1::ParticipantInfo::Instance& instance) {
  const bool of_service =
      !participant.breaker().state().empty() && participant.breaker().state() != "closed";
  const auto& breaker = of_service ? participant.breaker() : instance.breaker();
  if (breaker.state() == "closed" || breaker.state().empty())
    return breaker.held() ? Cell("closed by hand", Tone::kWarn) : Cell("");
  const std::string why = breaker.held() ? "by hand" : breaker.why();
  return {breaker.state() + (of_service ? " for all" : "") + (why.empty() ? "" : ": " + why),
          Tone::kBad};
}

Cell Queued(const v1::ParticipantInfo& participant) {
  return {std::to_string(participant.queued()),
          participant.queued() > 0 ? Tone::kWarn : Tone::kPlain};
}

Cell Waiting(const v1::ParticipantInfo& participant) {
  return {std::to_string(participant.waiting()),
          participant.waiting() > 0 ? Tone::kBad : Tone::kPlain};
}

// Of one that nobody serves, whom it may have been meant for.
Cell Actions(const v1::ParticipantInfo& participant, const Alikes& alikes) {
  const std::string alike = AlikeTo(alikes, participant.service());
  return alike.empty() ? Cell(Joined(participant.actions())) : Cell(alike, Tone::kWarn);
}

void AddService(const v1::ParticipantInfo& participant, const Alikes& alikes, Table& table) {
  std::uint64_t in_flight = 0;
  for (const auto& instance : participant.instances()) in_flight += instance.in_flight();
  table.Add({{participant.service(), Tone::kStrong},
             Instances(participant),
             std::to_string(in_flight),
             Queued(participant),
             Waiting(participant),
             Actions(participant, alikes)});
}

void AddInstances(const v1::ParticipantInfo& participant, const Style& style, const Alikes& alikes,
                  Table& table) {
  if (participant.instances_size() == 0) {
    table.Add({{participant.service(), Tone::kStrong},
               {"none", Tone::kBad},
               "",
               "",
               "",
               "0",
               "",
               "",
               Queued(participant),
               Waiting(participant),
               "",
               "",
               Actions(participant, alikes)});
  }
  const bool differ = std::any_of(participant.instances().begin(), participant.instances().end(),
                                  [](const auto& instance) { return instance.actions_size() > 0; });
  for (const auto& instance : participant.instances()) {
    table.Add({{participant.service(), Tone::kStrong},
               instance.instance(),
               instance.transport(),
               instance.address(),
               instance.source(),
               std::to_string(instance.in_flight()),
               std::to_string(instance.limit()),
               Breaker(participant, instance),
               Queued(participant),
               Waiting(participant),
               instance.connected_unix_ms() == 0 ? Cell("cannot be reached", Tone::kBad)
                                                 : Cell(Connected(instance, style)),
               instance.agent(),
               Joined(differ ? instance.actions() : participant.actions())});
  }
}

std::string ParticipantTable(const v1::ListParticipantsReply& reply, const Style& style,
                             const Alikes& alikes) {
  Table table(style.wide()
                  ? std::vector<std::string>{"SERVICE", "INSTANCE", "TRANSPORT", "ADDRESS",
                                             "SOURCE", "IN FLIGHT", "LIMIT", "BREAKER", "QUEUED",
                                             "WAITING", "CONNECTED", "AGENT", "ACTIONS"}
                  : std::vector<std::string>{"SERVICE", "INSTANCES", "IN FLIGHT", "QUEUED",
                                             "WAITING", "ACTIONS"});
  for (const v1::ParticipantInfo& participant : reply.participants()) {
    if (style.wide()) {
      AddInstances(participant, style, alikes, table);
    } else {
      AddService(participant, alikes, table);
    }
  }
  return table.empty() ? "" : table.Render(style);
}

// Records per log commit: how many share one fsync.
std::string GroupSize(const v1::ServerInfo& info) {
  if (info.log_commits() == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f",
                static_cast<double>(info.log_records()) / static_cast<double>(info.log_commits()));
  return text;
}

std::string CoordinatorOf(const v1::ServerInfo& info) {
  return std::to_string(info.coordinator_id()) + " (epoch " + std::to_string(info.epoch()) + ")";
}

// Who has what of the sums; by name.
std::string MemberFigures(const v1::ServerInfo& info, const Style& style) {
  Table table({"NODE", "STARTED", "ACTIVE", "COMMITTING", "ABORTING", "NEEDS A HUMAN", "BEGUN",
               "NEW TRANSACTIONS"});
  std::map<std::string, const v1::MemberInfo*> by_name;
  for (const v1::MemberInfo& member : info.members()) by_name[member.node()] = &member;
  for (const auto& [node, member] : by_name) {
    if (!member->has_info()) {
      table.Add({{node, Tone::kStrong}, "", "", "", "", "", "", {"no answer", Tone::kBad}});
      continue;
    }
    const v1::ServerInfo& own = member->info();
    table.Add({{node, Tone::kStrong},
               Moment(own.started_unix_ms(), style),
               std::to_string(own.active()),
               std::to_string(own.committing()),
               std::to_string(own.aborting()),
               std::to_string(own.needs_operator()),
               std::to_string(own.begun()),
               own.refusing().empty() ? Cell("taken", Tone::kGood) : Cell("refused", Tone::kBad)});
  }
  return table.Render(style);
}

// What is of one coordinator alone; of several, whose it is.
void AddWhose(const v1::ServerInfo& info, const Style& style, Table& table) {
  if (info.members().empty()) {
    table.Add({"coordinator", CoordinatorOf(info)});
    table.Add({"started", Moment(info.started_unix_ms(), style)});
    return;
  }
  std::size_t answered = 0;
  std::string node;
  for (const v1::MemberInfo& member : info.members()) {
    answered += member.has_info() ? 1 : 0;
    if (member.epoch() == info.epoch()) node = member.node();
  }
  const auto all = static_cast<std::size_t>(info.members_size());
  table.Add(
      {"coordinators",
       {std::to_string(answered) + " of " + std::to_string(all) + ", of which these are the sums",
        answered == all ? Tone::kPlain : Tone::kBad}});
  table.Add({"answered by", node + ", of coordinator " + CoordinatorOf(info)});
}

std::string StatsTable(const v1::ServerInfo& info, const Style& style) {
  Table table;
  const auto number = [&table](const char* name, std::uint64_t value, Tone tone = Tone::kPlain) {
    table.Add({name, {std::to_string(value), tone}});
  };
  table.Add({"version", info.version()});
  AddWhose(info, style, table);
  table.Add({"data file", info.data_file()});
  table.Add({"new transactions", info.refusing().empty()
                                     ? Cell("taken", Tone::kGood)
                                     : Cell("refused: " + info.refusing(), Tone::kBad)});
  number("active", info.active());
  number("committing", info.committing());
  number("aborting", info.aborting());
  number("needs a human", info.needs_operator(),
         info.needs_operator() > 0 ? Tone::kBad : Tone::kPlain);
  if (info.set_aside() > 0) number("set aside", info.set_aside(), Tone::kBad);
  if (!info.slots_set_aside().empty())
    table.Add({"slots set aside", {std::to_string(info.slots_set_aside_size()), Tone::kBad}});
  number("finished, retained", info.retained());
  number("begun since start", info.begun());
  number("committed since start", info.committed());
  number("aborted since start", info.aborted());
  number("log records", info.log_records());
  number("log commits", info.log_commits());
  table.Add({"records per commit", GroupSize(info)});
  return table.Render(style) + (info.members().empty() ? "" : "\n" + MemberFigures(info, style));
}

// The forms of one message that is not a list. `id`: the coordinator's number.
std::string Document(const v1::ServerInfo& info, const Style& style) {
  if (style.output == Output::kYaml) return Yaml(ToJson(info, {}));
  if (style.output == Output::kJsonl) return LineJson(ToJson(info, {}));
  if (style.output == Output::kId) return std::to_string(info.coordinator_id()) + "\n";
  return PrettyJson(ToJson(info, {}));
}

}  // namespace

std::string RenderParticipants(const v1::ListParticipantsReply& reply, const Style& style,
                               const Alikes& alikes) {
  if (style.table()) return ParticipantTable(reply, style, alikes);
  if (style.output == Output::kJson) return PrettyJson(ToJson(reply, {}));
  if (style.output == Output::kYaml) return Yaml(ToJson(reply, {}));
  std::string text;
  for (const v1::ParticipantInfo& participant : reply.participants()) {
    text += style.output == Output::kId ? Visible(participant.service()) + "\n"
                                        : LineJson(ToJson(participant, {}));
  }
  return text;
}

std::string RenderStats(const v1::ServerInfo& info, const Style& style) {
  return style.table() ? StatsTable(info, style) : Document(info, style);
}

std::string RenderHealth(const v1::ServerInfo& info, const std::string& endpoint,
                         const Style& style) {
  if (!style.table()) return Document(info, style);
  const std::string verdict =
      info.refusing().empty()
          ? Paint("takes transactions", Tone::kGood, style)
          : Paint("refuses new transactions: " + Visible(info.refusing()), Tone::kBad, style);
  return "assentd " + Visible(info.version()) + " at " + Visible(endpoint) + " " + verdict +
         " (up " + FormatDuration(style.now_unix_ms - info.started_unix_ms()) + ", coordinator " +
         std::to_string(info.coordinator_id()) + ", epoch " + std::to_string(info.epoch()) + ")\n" +
         (info.slots_set_aside().empty()
              ? ""
              : Paint(SlotsSetAside(info.slots_set_aside()), Tone::kBad, style) + "\n");
}

}  // namespace assent::ctl

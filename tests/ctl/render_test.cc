// What people and scripts see, held still by golden files: input NAME.textproto, output NAME.FORM.

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/golden.h"
#include "tools/assentctl/audit_view.h"
#include "tools/assentctl/cause_view.h"
#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/list_view.h"
#include "tools/assentctl/resolve_text.h"
#include "tools/assentctl/server_view.h"
#include "tools/assentctl/show_view.h"
#include "tools/assentctl/watch_view.h"

namespace assent::ctl {
namespace {

// 2027-01-15T08:00:00Z, the moment at which all the golden transactions are looked at.
constexpr std::int64_t kNow = 1'800'000'000'000;

Style Plain(Output output = Output::kTable) {
  Style style;
  style.output = output;
  style.now_unix_ms = kNow;
  return style;
}

struct Form {
  const char* suffix;
  Style style;
};

std::vector<Form> AllForms() {
  std::vector<Form> forms;
  forms.push_back({"table", Plain()});
  forms.push_back({"wide", Plain(Output::kWide)});
  forms.push_back({"json", Plain(Output::kJson)});
  forms.push_back({"jsonl", Plain(Output::kJsonl)});
  forms.push_back({"yaml", Plain(Output::kYaml)});
  forms.push_back({"id", Plain(Output::kId)});
  Form iso{"iso", Plain()};
  iso.style.time = TimeStyle::kIso;
  forms.push_back(iso);
  return forms;
}

class ShowGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(ShowGolden, EveryForm) {
  const std::string name = GetParam();
  const auto transaction = ReadMessage<v1::Transaction>(name + ".textproto");
  for (const Form& form : AllForms()) {
    SCOPED_TRACE(form.suffix);
    ExpectGolden(name + "." + form.suffix, RenderTransaction(transaction, form.style));
  }
}

// stuck: a TCC branch whose participant is down after the decision. hostile: what a participant can
// say to disturb a terminal. mixed: three protocols, finished with a person's help. rolled_back: a
// refusal. hazard: a participant lost what it had prepared. unsent: tries that never left, and what
// rests on a decision comes after it.
INSTANTIATE_TEST_SUITE_P(Transactions, ShowGolden,
                         ::testing::Values("show_stuck", "show_mixed", "show_rolled_back",
                                           "show_hazard", "show_hostile", "show_unsent"));

TEST(ShowView, PayloadsInBothEncodings) {
  const auto transaction = ReadMessage<v1::Transaction>("show_mixed.textproto");
  Style style = Plain();
  style.payloads = true;
  ExpectGolden("show_mixed.payloads", RenderTransaction(transaction, style));
  style.bytes = BytesStyle::kHex;
  ExpectGolden("show_mixed.payloads_hex", RenderTransaction(transaction, style));
  style.output = Output::kJson;
  ExpectGolden("show_mixed.payloads_json", RenderTransaction(transaction, style));
}

TEST(ShowView, ColoursAndANarrowTerminal) {
  const auto transaction = ReadMessage<v1::Transaction>("show_stuck.textproto");
  Style style = Plain();
  style.color = true;
  style.columns = 100;
  ExpectGolden("show_stuck.color", RenderTransaction(transaction, style));
}

TEST(ShowView, NothingHostileReachesTheTerminal) {
  const auto transaction = ReadMessage<v1::Transaction>("show_hostile.textproto");
  for (const Output output : {Output::kTable, Output::kWide}) {
    const std::string text = RenderTransaction(transaction, Plain(output));
    EXPECT_EQ(std::string::npos, text.find('\x1b'));
    EXPECT_EQ(std::string::npos, text.find('\r'));
  }
  for (const Output output :
       {Output::kTable, Output::kWide, Output::kJson, Output::kJsonl, Output::kYaml}) {
    const std::string text = RenderTransaction(transaction, Plain(output));
    EXPECT_EQ(std::string::npos, text.find("\xe2\x80\xae")) << "right-to-left override";
    EXPECT_EQ(std::string::npos, text.find("\xf3\xa0\x81\x81")) << "a tag that nobody sees";
    EXPECT_NE(std::string::npos, text.find("\\u202e"));
  }
}

// What one message had no room for is said to be missing, not passed over.
TEST(ShowView, WhatWasLeftOutIsSaid) {
  v1::Transaction transaction;
  transaction.set_gid("order-1");
  transaction.set_began_unix_ms(kNow - 5000);
  v1::Branch& branch = *transaction.add_branches();
  branch.mutable_spec()->set_branch_id("stock");
  branch.mutable_spec()->set_payload_bytes(2048);
  branch.set_result_bytes(1024);
  branch.set_dropped_attempts(7);
  branch.set_attempts_left_out(2);
  for (const std::uint32_t number : {3, 4, 12, 13}) {
    v1::Attempt& attempt = *branch.add_attempts();
    attempt.set_operation(v1::TRY);
    attempt.set_number(number);
    attempt.set_started_unix_ms(kNow - 4000 + number);
  }
  Style style = Plain();
  style.payloads = true;
  const std::string page = RenderTransaction(transaction, style);
  EXPECT_NE(page.find("(2 attempts left out)"), std::string::npos) << page;
  EXPECT_NE(page.find("(7 attempts not kept)"), std::string::npos) << page;
  EXPECT_EQ(page.find("(tries"), std::string::npos) << page;
  EXPECT_NE(page.find("<1.0 KiB, left out>"), std::string::npos) << page;
  EXPECT_NE(page.find("<2.0 KiB, left out>"), std::string::npos) << page;
}

// What is held is not announced for a moment at which nothing will happen.
TEST(ShowView, ASuspendedBranchIsHeld) {
  v1::Transaction transaction;
  transaction.set_gid("order-1");
  transaction.set_state(v1::ACTIVE);
  v1::Branch& branch = *transaction.add_branches();
  branch.mutable_spec()->set_branch_id("stock");
  branch.set_state(v1::EXECUTING);
  branch.set_operation(v1::TRY);
  branch.set_next_attempt_unix_ms(kNow + 12'000);
  EXPECT_NE(RenderTransaction(transaction, Plain()).find("TRY in 12 s"), std::string::npos);
  transaction.set_suspended(true);
  EXPECT_NE(RenderTransaction(transaction, Plain()).find("TRY, held"), std::string::npos);
}

// They carry the same millisecond: the cause stands before what it causes.
TEST(ShowView, APersonsActStandsBeforeTheDecisionItCaused) {
  v1::Transaction transaction;
  transaction.set_gid("order-1");
  transaction.set_state(v1::FINISHED);
  transaction.set_began_unix_ms(kNow - 5000);
  transaction.set_decision(v1::DECISION_ABORT);
  transaction.set_decided_unix_ms(kNow);
  transaction.set_outcome(v1::ABORTED);
  transaction.set_finished_unix_ms(kNow);
  v1::Intervention& abort = *transaction.add_interventions();
  abort.set_at_unix_ms(kNow);
  abort.set_who("ann");
  abort.set_verb("abort");
  const std::string page = RenderTransaction(transaction, Plain());
  const std::size_t person = page.find("by ann");
  const std::size_t decision = page.find("decision ABORT durable");
  const std::size_t end = page.find("finished ABORTED");
  ASSERT_NE(person, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  EXPECT_LT(person, decision);
  EXPECT_LT(decision, end);
}

TEST(ShowView, OutcomeOfAWait) {
  for (const char* name : {"show_mixed", "show_rolled_back", "show_stuck"}) {
    const auto transaction = ReadMessage<v1::Transaction>(std::string(name) + ".textproto");
    ExpectGolden(std::string(name) + ".outcome", RenderOutcome(transaction, Plain()));
  }
}

TEST(ListView, EveryForm) {
  const auto page = ReadMessage<v1::ListReply>("list.textproto");
  for (const Form& form : AllForms()) {
    SCOPED_TRACE(form.suffix);
    ExpectGolden(std::string("list.") + form.suffix, RenderList(page, form.style));
  }
}

TEST(ListView, ATerminalCutsTheReasonOnly) {
  const auto page = ReadMessage<v1::ListReply>("list.textproto");
  Style style = Plain();
  style.columns = 90;
  style.color = true;
  ExpectGolden("list.narrow", RenderList(page, style));
}

TEST(ListView, ATerminalOfEightyColumnsStillShowsTheCause) {
  v1::ListReply page;
  v1::Transaction* issued = page.add_transactions();
  issued->set_gid("01986f2a3b4c-0a1b-0123456789abcdef");  // as long as the coordinator's own are
  issued->set_state(v1::COMMITTING);
  issued->set_needs_operator(true);
  issued->set_began_unix_ms(1'799'999'820'000);
  v1::BranchSpec& spec = *issued->add_branches()->mutable_spec();
  spec.set_branch_id("2");
  spec.set_service("inventory");
  spec.set_action("reserve");
  issued->set_why_not_finished(
      "decided commit, carrying it out: branch 2 inventory/reserve: CONFIRM, 14 attempts, last: no "
      "participant inventory is connected (for 5 min); goes on as soon as inventory appears");
  Style style = Plain();
  style.columns = 80;
  EXPECT_EQ(RenderList(page, style),
            "GID                                 STATE       ATTENTION      AGE\n"
            "01986f2a3b4c-0a1b-0123456789abcdef  COMMITTING  needs a human  3 min\n"
            "    no participant inventory is connected (for 5 min); goes on as soon as inven…\n");
  issued->set_gid("order-17");
  EXPECT_EQ(RenderList(page, style),
            "GID       STATE       ATTENTION      AGE\n"
            "order-17  COMMITTING  needs a human  3 min\n"
            "    no participant inventory is connected (for 5 min); goes on as soon as inven…\n");
  issued->set_needs_operator(false);
  EXPECT_EQ(RenderList(page, style),
            "GID       STATE       AGE    WHY\n"
            "order-17  COMMITTING  3 min  no participant inventory is connected (for 5 min);…\n");
  issued->set_suspended(true);
  issued->set_why_not_finished("suspended by ann (recount); " + issued->why_not_finished());
  EXPECT_NE(RenderList(page, style).find("suspended by ann (recount)"), std::string::npos);
}

TEST(CauseView, EveryForm) {
  const auto causes = ReadMessage<v1::ListCausesReply>("causes.textproto");
  for (const Form& form : AllForms()) {
    SCOPED_TRACE(form.suffix);
    ExpectGolden(std::string("causes.") + form.suffix, RenderCauses(causes, form.style));
  }
  EXPECT_EQ(CausesFooter(causes),
            "1,052 unfinished, 4 rows; 7 are of further causes, which have no room; a row opens "
            "with: assentctl list --cause KEY\n");
}

TEST(CauseView, FiltersAreTheSameUnderTheSameNumbers) {
  v1::ListRequest list;
  list.add_states(v1::COMMITTING);
  list.set_protocol(v1::TCC);
  list.set_service("s");
  (*list.mutable_labels())["a"] = "b";
  list.set_gid_prefix("g");
  list.set_min_age_ms(5);
  list.set_needs_operator(true);
  list.set_cause("c0123456789");
  list.set_page_size(3);
  EXPECT_EQ(CausesRequestOf(list).ShortDebugString(),
            "states: COMMITTING protocol: TCC service: \"s\" labels { key: \"a\" value: \"b\" } "
            "gid_prefix: \"g\" min_age_ms: 5 needs_operator: true cause: \"c0123456789\"");
}

TEST(AuditView, EveryForm) {
  const auto page = ReadMessage<v1::ListAuditReply>("audit.textproto");
  for (const Form& form : AllForms()) {
    SCOPED_TRACE(form.suffix);
    ExpectGolden(std::string("audit.") + form.suffix, RenderAudit(page, form.style));
  }
  EXPECT_EQ("", RenderAudit({}, Plain()));
}

TEST(ListView, AnEmptyPage) {
  EXPECT_EQ("", RenderList(v1::ListReply(), Plain()));
  EXPECT_EQ("{\n  \"transactions\": [],\n  \"next_page_token\": \"\"\n}\n",
            RenderList(v1::ListReply(), Plain(Output::kJson)));
}

TEST(ServerView, EveryForm) {
  const auto participants = ReadMessage<v1::ListParticipantsReply>("participants.textproto");
  const auto info = ReadMessage<v1::ServerInfo>("stats.textproto");
  for (const Form& form : AllForms()) {
    SCOPED_TRACE(form.suffix);
    ExpectGolden(std::string("participants.") + form.suffix,
                 RenderParticipants(participants, form.style));
    ExpectGolden(std::string("stats.") + form.suffix, RenderStats(info, form.style));
  }
}

TEST(ClusterView, StatusAndPlace) {
  const auto view = ReadMessage<v1::ClusterView>("cluster.textproto");
  for (const Form& form : AllForms()) {
    SCOPED_TRACE(form.suffix);
    if (std::string_view(form.suffix) == "iso") continue;  // there are no times in it
    ExpectGolden(std::string("cluster.") + form.suffix, RenderCluster(view, form.style));
    ExpectGolden(std::string("cluster_place.") + form.suffix,
                 RenderPlace("order-17", view, form.style));
  }
}

TEST(ServerView, HealthIsASentence) {
  auto info = ReadMessage<v1::ServerInfo>("stats.textproto");
  EXPECT_EQ(
      "assentd 0.1.0 at 127.0.0.1:7400 refuses new transactions: disk full (up 1 h, coordinator 1, "
      "epoch 4)\n",
      RenderHealth(info, "127.0.0.1:7400", Plain()));
  info.clear_refusing();
  EXPECT_EQ("assentd 0.1.0 at 127.0.0.1:7400 takes transactions (up 1 h, coordinator 1, epoch 4)\n",
            RenderHealth(info, "127.0.0.1:7400", Plain()));
}

TEST(WatchView, TheStoryOfATransaction) {
  // The same transaction as it was sighted five times.
  std::string story;
  v1::Transaction before;
  for (int sighting = 1; sighting <= 5; ++sighting) {
    const auto seen =
        ReadMessage<v1::Transaction>("watch_" + std::to_string(sighting) + ".textproto");
    story += RenderChange(sighting == 1 ? nullptr : &before, seen, Plain());
    before = seen;
  }
  ExpectGolden("watch.story", story);
  EXPECT_EQ("", RenderChange(&before, before, Plain()));
}

TEST(ResolveText, SaysWhatItMeansInEachProtocol) {
  const auto transaction = ReadMessage<v1::Transaction>("show_mixed.textproto");
  std::string text;
  for (const v1::Branch& branch : transaction.branches()) {
    text += ResolveMeaning(transaction, branch, v1::DECISION_COMMIT);
    text += ResolveMeaning(transaction, branch, v1::DECISION_ABORT);
  }
  ExpectGolden("resolve.meaning", text);
}

TEST(Json, EveryFormOfADocumentSaysTheSame) {
  const auto transaction = ReadMessage<v1::Transaction>("show_mixed.textproto");
  const Json json = ToJson(transaction, {.payloads = true, .summary = false});
  // Compared as text: GoogleTest cannot print a Json that differs.
  EXPECT_EQ(json.dump(), Json::parse(PrettyJson(json)).dump());
  EXPECT_EQ(json.dump(), Json::parse(LineJson(json)).dump());
  const std::string line = LineJson(json);
  EXPECT_EQ(1, std::count(line.begin(), line.end(), '\n'));
}

TEST(Json, AnEnumValueOfANewerDaemonIsShown) {
  v1::Transaction transaction;
  transaction.set_state(static_cast<v1::TransactionState>(99));
  EXPECT_NE(std::string::npos, RenderTransaction(transaction, Plain()).find("#99"));
  EXPECT_NE(std::string::npos,
            RenderTransaction(transaction, Plain(Output::kJson)).find("UNKNOWN_ENUM_VALUE"));
}

TEST(Yaml, QuotesWhatCouldBeTakenForSomethingElse) {
  const Json json = {
      {"plain", "hello world"},
      {"yes", "yes"},
      {"number", "12"},
      {"colon", "a: b"},
      {"lines", "a\nb"},
      {"dash", "- a"},
      {"trailing", "a "},
      {"empty", ""},
      {"nested", {{"list", {1, {{"a", true}, {"b", nullptr}}, Json::array({1, 2})}}}},
      {"none", Json::array()}};
  EXPECT_EQ(
      "plain: hello world\n"
      "\"yes\": \"yes\"\n"
      "number: \"12\"\n"
      "colon: \"a: b\"\n"
      "lines: \"a\\nb\"\n"
      "dash: \"- a\"\n"
      "trailing: \"a \"\n"
      "empty: \"\"\n"
      "nested:\n"
      "  list:\n"
      "    - 1\n"
      "    - a: true\n"
      "      b: null\n"
      "    - - 1\n"
      "      - 2\n"
      "none: []\n",
      Yaml(json));
}

}  // namespace
}  // namespace assent::ctl

// Names that a misspelt one may have meant, and where people are told.

#include "tools/assentctl/alike.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

using Names = std::vector<std::string>;

TEST(Alike, WhatDiffersInTwoCharactersIsLikeIt) {
  const Names names = {"payment", "payments", "shipping", "bank", "pay"};
  EXPECT_EQ((Names{"payment", "payments"}), NamesLike("paymnet", names)) << "turned round";
  EXPECT_EQ((Names{"pay", "payment"}), NamesLike("paymn", names)) << "two too many, or missing";
  EXPECT_EQ((Names{"payment", "payments"}), NamesLike("Payment", names));
  EXPECT_EQ((Names{"shipping"}), NamesLike("shipppping", names));
  EXPECT_EQ(Names{}, NamesLike("pigment-x", names));
  EXPECT_EQ(Names{}, NamesLike("payment", {"payment"})) << "it is itself";
}

// Of four characters two are half of it.
TEST(Alike, AShortNameIsLikeWhatDiffersInOne) {
  EXPECT_EQ((Names{"bank"}), NamesLike("bnak", {"bank", "rank"}));
  EXPECT_EQ(Names{}, NamesLike("mail", {"bank", "main-desk", "tall"}));
}

TEST(Alike, TheNearestComeFirstAndThreeAreEnough) {
  EXPECT_EQ((Names{"orders", "order", "orders1"}),
            NamesLike("oders", {"orders12", "orders1", "order", "orders", "border"}));
}

v1::ParticipantInfo& AddService(v1::ListParticipantsReply& reply, const std::string& name,
                                bool there) {
  v1::ParticipantInfo& one = *reply.add_participants();
  one.set_service(name);
  if (there) one.add_instances()->set_connected_unix_ms(1'799'999'000'000);
  one.set_waiting(there ? 0 : 2);
  return one;
}

v1::ListParticipantsReply Participants() {
  v1::ListParticipantsReply reply;
  AddService(reply, "payment", true);
  AddService(reply, "paymnet", false);
  AddService(reply, "warehouse", false);
  return reply;
}

TEST(Alike, WhoIsThereIsOfferedForWhoIsNot) {
  EXPECT_EQ((Alikes{{"paymnet", "like: payment"}}), AlikesOf(Participants()));
  // One that is dialled in vain is spelt right.
  v1::ListParticipantsReply dialled = Participants();
  AddService(dialled, "payments", true).mutable_instances(0)->set_connected_unix_ms(0);
  EXPECT_EQ((Alikes{{"paymnet", "like: payment, payments"}}), AlikesOf(dialled));
}

TEST(Alike, NoMoreThanSoManyAreCompared) {
  v1::ListParticipantsReply reply;
  AddService(reply, "payment", true);
  for (std::size_t i = 0; i < kMostComparedCount; ++i)
    AddService(reply, "warehouse-" + std::to_string(i), false);
  AddService(reply, "paymnet", false);
  EXPECT_EQ(Alikes(), AlikesOf(reply));
}

TEST_F(CommandTest, ParticipantsSaysWhomAMisspeltServiceIsLike) {
  service.participants.push_back(Participants());
  EXPECT_EQ(Exit::kDone, RunParticipants({}, session));
  EXPECT_NE(std::string::npos, console.out.find("paymnet    none       0          0       2        "
                                                "like: payment\n"))
      << console.out;
  // Asked for alone: who is meant is not on that list.
  console.out.clear();
  v1::ListParticipantsReply one;
  AddService(one, "paymnet", false);
  service.participants.push_back(one);
  service.participants.push_back(Participants());
  ParticipantsCommand command;
  command.request.set_service_prefix("paymn");
  EXPECT_EQ(Exit::kDone, RunParticipants(command, session));
  EXPECT_NE(std::string::npos, console.out.find("like: payment\n")) << console.out;
}

TEST_F(CommandTest, TheRowOfACauseSaysWhomAMisspeltServiceIsLike) {
  v1::ListCausesReply causes;
  v1::Cause& cause = *causes.add_causes();
  cause.set_key("c01d8812f3b");
  cause.set_kind(v1::NOT_CONNECTED);
  cause.add_kinds(v1::NOT_CONNECTED);
  cause.set_service("paymnet");
  cause.set_sentence("paymnet: not connected");
  cause.set_count(2);
  causes.set_total(2);
  ListCommand command;
  command.group_by = GroupBy::kWhy;
  service.causes.push_back(causes);
  service.participants.push_back(Participants());
  EXPECT_EQ(Exit::kDone, RunList(command, session));
  EXPECT_NE(std::string::npos, console.out.find("paymnet: not connected (like: payment)\n"))
      << console.out;
  // Without an answer the row is as it is; programs have what the coordinator said.
  console.out.clear();
  service.causes.push_back(causes);
  service.participants.push_back(Unavailable("it went away"));
  EXPECT_EQ(Exit::kDone, RunList(command, session));
  EXPECT_NE(std::string::npos, console.out.find("paymnet: not connected\n")) << console.out;
  session.options.output = Output::kJson;
  service.causes.push_back(causes);
  EXPECT_EQ(Exit::kDone, RunList(command, session));
}

v1::Transaction Misspelt() {
  v1::Transaction transaction;
  transaction.set_gid("g");
  transaction.set_state(v1::ABORTING);
  transaction.set_why_not_finished("no participant paymnet is connected");
  v1::Branch& branch = *transaction.add_branches();
  branch.mutable_spec()->set_service("paymnet");
  branch.set_state(v1::UNDOING);
  branch.add_attempts()->set_result(v1::Attempt::NOT_SENT);
  return transaction;
}

TEST_F(CommandTest, ShowSaysWhomAMisspeltServiceIsLike) {
  service.get.push_back(Misspelt());
  service.participants.push_back(Participants());
  EXPECT_EQ(Exit::kDone, RunShow({"g", false, false, {}}, session));
  EXPECT_NE(std::string::npos, console.out.find("paymnet is not there, like: payment\n"))
      << console.out;
}

TEST_F(CommandTest, ShowHasTheAddressOfItsTrace) {
  const std::string id = "4bf92f3577b34da6a3ce929d0e0e4736";
  v1::Transaction transaction = Committed("g");
  transaction.set_traceparent("00-" + id + "-00f067aa0ba902b7-01");
  const auto page = [&](const std::string& trace_url) {
    v1::ServerInfo info;
    info.set_trace_url(trace_url);
    service.get.push_back(transaction);
    service.info.push_back(info);
    console.out.clear();
    EXPECT_EQ(Exit::kDone, RunShow({"g", false, false, {}}, session));
    return console.out;
  };
  EXPECT_NE(std::string::npos, page("https://traces/{trace_id}?of={trace_id}")
                                   .find("trace at     https://traces/" + id + "?of=" + id + "\n"))
      << console.out;
  EXPECT_EQ(std::string::npos, page("").find("trace at"));
  EXPECT_EQ(std::string::npos, page("javascript:{trace_id}").find("trace at"));
  EXPECT_EQ(std::string::npos, page("https://traces/").find("trace at"));
  // Best effort, and for people alone.
  service.get.push_back(transaction);
  service.info.push_back(Unavailable("it went away"));
  EXPECT_EQ(Exit::kDone, RunShow({"g", false, false, {}}, session));
  session.options.output = Output::kJson;
  service.get.push_back(transaction);
  EXPECT_EQ(Exit::kDone, RunShow({"g", false, false, {}}, session));
}

}  // namespace
}  // namespace assent::ctl

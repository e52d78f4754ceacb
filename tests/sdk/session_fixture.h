#pragma once

// A session, driven by hand.

#include <chrono>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/session.h"

namespace assent::internal {
inline constexpr SteadyTime kStart = SteadyTime(std::chrono::hours(1));

// A session and its call table, with what came out sorted by kind.
class SessionTest : public ::testing::Test {
 protected:
  SessionTest() : calls_(100), session_(OptionsOf(), &calls_) {}

  static Session::Options OptionsOf() {
    Session::Options options;
    options.endpoint = "here:1";
    options.hello.set_version(1);
    options.hello.set_service("inventory");
    options.max_in_flight = 4;
    options.initial_backoff = std::chrono::milliseconds(100);
    options.max_backoff = std::chrono::milliseconds(1000);
    options.seed = 7;
    return options;
  }

  void Take(Actions* actions) {
    for (Action& action : *actions) {
      if (auto* dial = std::get_if<act::Dial>(&action)) connection_ = dial->connection, ++dials_;
      if (auto* send = std::get_if<act::Send>(&action)) sent_.push_back(std::move(send->frame));
      if (auto* run = std::get_if<act::Run>(&action)) runs_.push_back(run->ticket);
      if (auto* deliver = std::get_if<act::Deliver>(&action))
        delivered_.push_back(std::move(*deliver));
      if (std::holds_alternative<act::HalfClose>(action)) ++half_closes_;
      if (std::holds_alternative<act::Cancel>(action)) ++cancels_;
      if (std::holds_alternative<act::Ask>(action)) ++asks_;
    }
    actions->clear();
  }

  template <typename Feed>
  void Do(const Feed& feed) {
    Actions actions;
    feed(&actions);
    Take(&actions);
  }
  void Start() {
    Do([&](Actions* out) { session_.Start(now_, out); });
    Started();
  }
  void Started() {
    Do([&](Actions* out) { session_.OnStarted(connection_, now_, out); });
  }
  void DialAgain() {
    now_ = session_.Due();
    Do([&](Actions* out) { session_.OnTick(now_, out); });
    Started();
  }
  void Written() {
    Do([&](Actions* out) { session_.OnWritten(connection_, now_, out); });
  }
  void Closed(Status why = Unavailable("reset")) {
    Do([&](Actions* out) { session_.OnClosed(connection_, why, now_, out); });
  }
  void Frame(v1::CoordinatorFrame frame) {
    Do([&](Actions* out) { session_.OnFrame(connection_, &frame, now_, out); });
  }
  void Welcome() {
    v1::CoordinatorFrame frame;
    frame.mutable_welcome()->set_session_id("s");
    frame.mutable_welcome()->set_coordinator_id(9);
    Frame(std::move(frame));
  }
  // Dialled, greeted, nothing under way.
  void Open() {
    Start();
    Written();
    Welcome();
    sent_.clear();
  }
  static void AddCommand(v1::CoordinatorFrame* frame, std::uint64_t id, const std::string& gid,
                         v1::Operation operation = v1::TRY) {
    v1::BranchCommand* command = frame->add_commands();
    command->set_command_id(id);
    command->set_gid(gid);
    command->set_branch_id("1");
    command->set_operation(operation);
    command->set_protocol(v1::TCC);
    command->set_action("reserve");
  }
  void Command(std::uint64_t id, const std::string& gid, v1::Operation operation = v1::TRY) {
    v1::CoordinatorFrame frame;
    AddCommand(&frame, id, gid, operation);
    Frame(std::move(frame));
  }
  // From a coordinator that has a slot as of this epoch of it.
  void SlotCommand(std::uint64_t id, const std::string& gid, std::uint32_t slot,
                   std::uint64_t slot_epoch, v1::Operation operation = v1::TRY) {
    v1::CoordinatorFrame frame;
    AddCommand(&frame, id, gid, operation);
    frame.mutable_commands(0)->set_slot(slot);
    frame.mutable_commands(0)->set_slot_epoch(slot_epoch);
    Frame(std::move(frame));
  }
  bool TakeCallOf(Ticket ticket) {
    return calls_.Take(ticket, now_, [&](const Waiter& w) { return session_.Alive(w); })
        .has_value();
  }
  void Finish(Ticket ticket, const Reply& reply) {
    const CallTable::Finished finished = calls_.Finish(ticket);
    if (finished.next) runs_.push_back(*finished.next);
    for (const Waiter& waiter : finished.waiters) {
      Do([&](Actions* out) {
        session_.Answer(waiter, finished.gid, finished.branch_id, finished.operation, reply, now_,
                        out);
      });
    }
  }

  CallTable calls_;
  Session session_;
  SteadyTime now_ = kStart;
  std::uint64_t connection_ = 0;
  int dials_ = 0;
  int half_closes_ = 0;
  int cancels_ = 0;
  int asks_ = 0;
  std::vector<v1::ParticipantFrame> sent_;
  std::vector<Ticket> runs_;
  std::vector<act::Deliver> delivered_;
};

}  // namespace assent::internal

#pragma once

// A coordinator without doors, and its desk.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/http/desk.h"
#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/service/inbox.h"
#include "tests/support/process.h"

namespace assent::http {

class Participants final : public transport::Transport {
 public:
  void Send(std::vector<transport::Command> commands) override {
    for (transport::Command& command : commands) asked.Put(std::move(command));
  }
  service::Inbox<transport::Command> asked;
};

class DeskRig : public ::testing::Test {
 protected:
  DeskRig() {
    log::SqliteOptions log_options;
    log_options.path = dir_.path() + "/assent.db";
    log_ = std::move(log::SqliteLog::Open(log_options)).value();
    engine_ = std::make_unique<engine::Engine>(
        engine::EngineOptions{}, *log_,
        [](const Status& status) { ADD_FAILURE() << status.ToString(); });
    EXPECT_TRUE(engine_->Recover().ok());
    engine_->Start(participants_);
    service::ServiceOptions options;
    options.participants = [](const std::string&) { return std::vector<transport::ServiceInfo>(); };
    service_ = std::make_unique<service::Service>(std::move(options), *engine_);
    desk_.Open({.service = *service_});
  }
  ~DeskRig() override {
    if (engine_ != nullptr) engine_->Stop();
    log_.reset();
  }

  void AnswerNext() {
    const transport::Command command = participants_.asked.Take();
    transport::Reply reply;
    reply.gid = command.gid;
    reply.branch = command.branch;
    reply.operation = command.operation;
    reply.attempt = command.attempt;
    reply.result = core::AttemptResult::kDone;
    engine_->OnReplies({std::move(reply)});
  }

  static constexpr char kOne[] =
      R"({"gid": "g", "branches": [{"protocol": "SAGA", "service": "s", "action": "a"}]})";

  test::TempDir dir_;
  Participants participants_;
  std::unique_ptr<log::SqliteLog> log_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<service::Service> service_;
  std::function<void()> on_look_ = [] {};  // whenever somebody asks whether it is ready
  Desk desk_{{.health = {.look =
                             [this] {
                               on_look_();
                               return std::vector<Check>();
                             }},
              .version = "1"}};
};

}  // namespace assent::http

#pragma once

// A coordinator without doors: engine, log, record of actions and service, and participants that
// answer what the test tells them to.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/audit/audit.h"
#include "coordinator/log/sqlite/sqlite_log.h"
#include "coordinator/service/service.h"
#include "tests/service/inbox.h"
#include "tests/support/process.h"

namespace assent::service {

class Participants final : public transport::Transport {
 public:
  void Send(std::vector<transport::Command> commands) override {
    for (transport::Command& command : commands) asked.Put(std::move(command));
  }
  Inbox<transport::Command> asked;
};

class ServiceRig : public ::testing::Test {
 protected:
  ServiceRig() {
    log::SqliteOptions log_options;
    log_options.path = dir_.path() + "/assent.db";
    log_ = std::move(log::SqliteLog::Open(log_options)).value();
    engine_ = std::make_unique<engine::Engine>(
        engine::EngineOptions{}, *log_,
        [](const Status& status) { ADD_FAILURE() << status.ToString(); });
    EXPECT_TRUE(engine_->Recover().ok());
    engine_->Start(participants_);
    ServiceOptions options;
    options.participants = [](const std::string&) { return std::vector<transport::ServiceInfo>(); };
    options.audit = &audit_;
    service_ = std::make_unique<Service>(std::move(options), *engine_);
  }
  ~ServiceRig() override {
    if (engine_ != nullptr) engine_->Stop();
    audit_.Close();
    log_.reset();  // its callbacks go to the engine
  }

  template <typename Reply, typename Request>
  std::pair<Status, Reply> Ask(Request request, const Caller& caller = {}) {
    const auto asker = std::make_shared<Waiting<Reply>>();
    service_->Take(caller, std::move(request), asker);
    return asker->answers.Take();
  }
  static v1::SubmitRequest Submit(const std::string& gid) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    v1::BranchSpec* branch = request.mutable_transaction()->add_branches();
    branch->set_protocol(v1::SAGA);
    branch->set_service("s");
    branch->set_action("a");
    return request;
  }
  v1::Transaction Get(const std::string& gid) {
    v1::GetRequest request;
    request.set_gid(gid);
    return Ask<v1::Transaction>(request).second;
  }
  void Reply(const transport::Command& c, core::AttemptResult result) {
    transport::Reply reply;
    reply.gid = c.gid;
    reply.branch = c.branch;
    reply.operation = c.operation;
    reply.attempt = c.attempt;
    reply.result = result;
    engine_->OnReplies({std::move(reply)});
  }

  test::TempDir dir_;
  Participants participants_;
  audit::Audit audit_{{.epoch = 1, .open = audit::InSqlite(dir_.path() + "/audit.db")}};
  std::unique_ptr<log::SqliteLog> log_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Service> service_;
};

}  // namespace assent::service

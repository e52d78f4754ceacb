#pragma once

// What an operator asks for is on record before it is done, and what came of it behind: the answer
// goes through here.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "assent/v1/maintenance.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/audit/audit.h"
#include "coordinator/core/transaction.h"
#include "coordinator/service/asker.h"

namespace assent::service {

// The transaction in a line: "COMMITTING: branch 2 …", "FINISHED: COMMITTED".
std::string StandingOf(const core::Transaction& txn, const core::Now& now);

template <typename Reply>
class RecordedAsker final : public Asker<Reply> {
 public:
  RecordedAsker(audit::Audit& audit, const audit::EntryId& id, AskerPtr<Reply> asker)
      : audit_(audit), asker_(std::move(asker)) {
    ending_.id = id;
  }

  // How it stood before; called before the answer, if at all.
  void Before(std::string standing) { ending_.before = std::move(standing); }

  void Answer(const Status& status, absl::FunctionRef<void(Reply&)> fill) override {
    Reply reply;
    if (status.ok()) fill(reply);
    ending_.code = status.code();
    ending_.said = status.message();
    if constexpr (requires { reply.effect(); }) {
      if (status.ok()) ending_.said = reply.effect();
    }
    audit_.End(std::move(ending_));  // first: whoever looks after the answer finds it
    asker_->Answer(status, [&reply](Reply& out) { out.Swap(&reply); });
  }
  bool Over() override { return asker_->Over(); }

 private:
  audit::Audit& audit_;
  const AskerPtr<Reply> asker_;
  audit::Ending ending_;
};

// Calls `act` with who is to be answered, and with what is to be told how it stood before, once
// what is asked for is on record. Without a record, at once.
template <typename Reply, typename Act>
void OnRecord(audit::Audit* audit, audit::Deed deed, const AskerPtr<Reply>& asker, Act act) {
  if (audit == nullptr) return act(asker, [](std::string) {});
  audit->Begin(std::move(deed),
               [audit, asker, act = std::move(act)](const Result<audit::EntryId>& begun) mutable {
                 if (!begun.ok()) return asker->Fail(begun.status());
                 const auto recorded =
                     std::make_shared<RecordedAsker<Reply>>(*audit, *begun, asker);
                 act(AskerPtr<Reply>(recorded),
                     [recorded](std::string standing) { recorded->Before(std::move(standing)); });
               });
}

// The same of what is done here and now, on a thread that may wait: it is done if it is on record.
Status WhileOnRecord(audit::Audit& audit, audit::Deed deed, const std::function<Status()>& act);

// Entries of the record, as many as match and have room, newest first. `done` is called once, from
// any thread.
void ReadRecord(audit::Audit* audit, const v1::ListAuditRequest& request,
                const AskerPtr<v1::ListAuditReply>& asker);

// The record as it is kept, for who checks it. `done` is called once, from any thread.
void ReadChain(audit::Audit& audit, const v1::ReadAuditRequest& request,
               const std::function<void(const Status&, const v1::ReadAuditReply&)>& done);

}  // namespace assent::service

#include "tests/fuzz/live_coordinator.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "assent/v1/transaction.pb.h"
#include "coordinator/core/codec.h"
#include "coordinator/core/soundness.h"
#include "coordinator/service/convert.h"

namespace assent::fuzz {
namespace {

constexpr int kMaxHealingRoundsCount = 4000;

// What a client would do with it: a message with a string that is no UTF-8 cannot be read by
// anybody.
template <typename Message>
void CheckReadable(const Message& message) {
  Message read;
  ASSENT_CHECK(read.ParseFromString(message.SerializeAsString()));
}

}  // namespace

LiveCoordinator::LiveCoordinator() { Start(); }
LiveCoordinator::~LiveCoordinator() { log_->Kill(); }

void LiveCoordinator::Start() {
  waiting_.clear();  // of the life before
  log_ = std::make_unique<log::MemoryLog>(disk_, log::MemoryLogOptions{.inline_completion = false});
  shard_ = std::make_unique<engine::Shard>(engine::ShardOptions{}, *this);
  specs_.clear();
  auto rows = std::make_unique<engine::Adopted>();
  const Result<log::Recovered> recovered = log::Recover(*log_, [&](const log::LiveRow& row) {
    specs_[row.serial] = row.spec;
    rows->Add(row);
    return OkStatus();
  });
  ASSENT_CHECK(recovered.ok());
  shard_->Start(*recovered);
  Do(engine::TakeUpRequest{0, std::move(rows)});
}

void LiveCoordinator::CrashAndStart(std::size_t kept) {
  shard_.reset();
  log_->Kill();
  log_.reset();
  from_log_.clear();
  disk_->PowerLoss(std::min(kept, disk_->unsynced_groups()));
  Start();
}

void LiveCoordinator::Do(engine::Request request) {
  shard_->Handle(std::move(request), mono_, wall_);
  shard_->EndTurn(mono_, wall_);
}

void LiveCoordinator::Pass(core::Millis time) {
  mono_ += time;
  wall_ += time;
  shard_->EndTurn(mono_, wall_);
}

void LiveCoordinator::Settle() {
  while (log_->Step() || !from_log_.empty()) {
    while (!from_log_.empty()) {
      engine::Request request = std::move(from_log_.front());
      from_log_.pop_front();
      shard_->Handle(std::move(request), mono_, wall_);
    }
    shard_->EndTurn(mono_, wall_);
  }
}

void LiveCoordinator::Append(std::vector<log::Entry> entries, std::uint64_t batch) {
  for (const log::Entry& entry : entries) {
    if (entry.kind == log::EntryKind::kForget) continue;
    if (entry.kind == log::EntryKind::kBegin) specs_[entry.serial] = entry.spec;
    const std::string& spec = specs_.at(entry.serial);
    ASSENT_CHECK(entry.kind != log::EntryKind::kEnd || entry.spec == spec);
    const Result<core::Transaction> decoded = core::Codec::Decode(entry.gid, spec, entry.state);
    if (!decoded.ok()) std::fprintf(stderr, "%s\n", decoded.status().ToString().c_str());
    ASSENT_CHECK(decoded.ok());
    ASSENT_CHECK(core::Codec::EncodeSpec(*decoded) == spec);
    ASSENT_CHECK(core::Codec::EncodeState(*decoded) == entry.state);
    if (on_entry) on_entry(entry, spec);
  }
  log_->Append(std::move(entries), [this, batch](log::AppendResult result) {
    from_log_.emplace_back(engine::AppendedRequest{batch, std::move(result)});
  });
}

void LiveCoordinator::Find(std::string gid, std::uint64_t token) {
  log_->Find(std::move(gid), [this, token](Result<log::Found> found) {
    from_log_.emplace_back(engine::FoundRequest{token, std::move(found)});
  });
}

void LiveCoordinator::Send(std::vector<transport::Command> sent) {
  for (transport::Command& command : sent) commands.push_back(std::move(command));
}

void LiveCoordinator::Waiting(const std::string& service, std::int64_t more) {
  waiting_[service] += more;
  ASSENT_CHECK(waiting_[service] >= 0);
  if (waiting_[service] == 0) waiting_.erase(service);
}

void LiveCoordinator::Fatal(const Status& status) {
  std::fprintf(stderr, "fatal: %s\n", status.ToString().c_str());
  ASSENT_CHECK(false);
}

engine::ViewCallback LiveCoordinator::Checked() {
  return [this](const Status& status, const core::Transaction* txn, const core::Now&) {
    Check(status, txn);
  };
}

void LiveCoordinator::Check(const Status& status, const core::Transaction* txn,
                            bool decision_visible) {
  v1::SubmitReply reply;
  if (!status.ok()) {
    reply.set_error_message(status.message());
    return CheckReadable(reply);
  }
  if (txn == nullptr) return;
  ASSENT_CHECK(core::BrokenRule(*txn).empty());
  service::FillReply(*txn, reply);
  CheckReadable(reply);
  for (const service::Detail detail : {service::Detail::kSummary, service::Detail::kFull}) {
    v1::Transaction shown;
    service::ToProto(*txn, now(), detail, decision_visible, shown);
    CheckReadable(shown);
  }
  if (txn->decision() == core::Decision::kNone || !decision_visible) return;
  ASSENT_CHECK(told_.try_emplace(txn->gid(), txn->decision()).first->second == txn->decision());
}

std::vector<std::string> LiveCoordinator::Unfinished() {
  std::vector<std::string> gids;
  Do(engine::SliceRequest{
      [&](std::uint64_t, const core::Transaction& txn, bool visible, const core::Now&) {
        Check(OkStatus(), &txn, visible);
        gids.push_back(txn.gid());
      },
      [](const engine::SliceEnd&) {}});
  return gids;
}

void LiveCoordinator::ResumeAll() {
  for (const std::string& gid : Unfinished()) {
    Do(engine::OperatorRequest{
        gid, engine::OperatorVerb::kResume, {}, {}, core::Decision::kNone, false, Checked()});
  }
}

void LiveCoordinator::Heal() {
  log_->SetFull(log::MemoryLog::Full::kNone);
  Settle();
  for (int round = 0; shard_->live_count() > 0; ++round) {
    ASSENT_CHECK(round < kMaxHealingRoundsCount);
    // Again now and then: what was there before a crash is taken up slice by slice.
    if (round % 64 == 0) ResumeAll();
    for (const auto& [service, transactions] : std::map(waiting_))
      Do(engine::ServiceAppearedRequest{service});
    Settle();
    std::vector<transport::Reply> replies;
    for (const transport::Command& command : std::exchange(commands, {})) {
      replies.push_back({command.gid,
                         command.branch,
                         command.operation,
                         command.attempt,
                         core::AttemptResult::kDone,
                         {},
                         {},
                         core::Millis(0)});
    }
    Do(engine::RepliesRequest{std::move(replies)});
    Settle();
    const core::MonoTime wakeup = shard_->Wakeup();
    if (!commands.empty() || shard_->live_count() == 0) continue;
    ASSENT_CHECK(wakeup != core::kNever);  // L1
    if (wakeup > mono_) Pass(std::chrono::ceil<core::Millis>(wakeup - mono_));
  }
  Settle();
  ASSENT_CHECK(Unfinished().empty());
  ASSENT_CHECK(disk_->durable().live.empty());
  ASSENT_CHECK(waiting_.empty());
}

}  // namespace assent::fuzz

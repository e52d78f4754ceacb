#include "participant-sdk/cpp/outbox/publish.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <assent/text.h>

#include "assent/v1/transaction.pb.h"
#include "participant-sdk/cpp/src/wire.h"

namespace assent::internal::outbox {
namespace {

constexpr std::chrono::seconds kCountEvery{1};

Status CheckKey(std::string_view key) {
  if (key.size() > limits::kMaxOrderingKeyBytes) {
    return InvalidArgument("ordering_key has " + std::to_string(key.size()) + " bytes; at most " +
                           std::to_string(limits::kMaxOrderingKeyBytes));
  }
  while (!key.empty()) {
    const std::size_t length = Utf8Length(key);
    if (length == 0) return InvalidArgument("ordering_key is not UTF-8");
    const char32_t c = CodePoint(key, length);
    if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
      return InvalidArgument("ordering_key has a control character");
    key.remove_prefix(length);
  }
  return OkStatus();
}

}  // namespace

Result<NewRow> RowOf(const Transaction& transaction, const PublishOptions& options) {
  if (Status s = transaction.Validate(); !s.ok()) return s;
  if (Status s = CheckKey(options.ordering_key); !s.ok()) return s;
  v1::SubmitRequest request;
  PutTransaction(transaction, request.mutable_transaction());
  NewRow row{transaction.gid(), options.ordering_key, request.SerializeAsString()};
  if (row.request.size() <= limits::kMaxOutboxRequestBytes) return row;
  return InvalidArgument("the transaction has " + std::to_string(row.request.size()) +
                         " bytes in all; at most " +
                         std::to_string(limits::kMaxOutboxRequestBytes));
}

Status DuplicateGid(const std::string& gid) {
  return {Code::kAlreadyExists,
          "assent_outbox has a row with the gid " + gid + ": one transaction is published once"};
}

Status NoTransaction() {
  return FailedPrecondition(
      "no local transaction is open: the row would commit by itself, whatever became of yours. "
      "BEGIN "
      "first");
}

Status NotRecorded() {
  return FailedPrecondition(
      "a handler whose writes are recorded, to be applied or undone later, cannot publish: what "
      "was "
      "handed over could not be taken back. Publish in a Tcc or Saga handler");
}

Status NoTable(const std::string& words) {
  return FailedPrecondition(words +
                            " -- make the table first: Outbox::CreateTable, or the SQL that "
                            "`assent-relay table` prints");
}

bool Gauge::WantsCount(Clock::time_point now) {
  if (options_.max_waiting_count == 0) return false;
  const MutexLock lock(mutex_);
  if (counted_at_ != Clock::time_point::min() && now - counted_at_ < kCountEvery &&
      ++since_ < limits::kCountEveryPublishesCount)
    return false;
  counted_at_ = now;
  since_ = 0;
  return true;
}

Status Gauge::Room() const {
  if (options_.max_waiting_count == 0) return OkStatus();
  const MutexLock lock(mutex_);
  if (waiting_ < options_.max_waiting_count) return OkStatus();
  return ResourceExhausted("assent_outbox has " + std::to_string(waiting_) +
                           " rows or more, and max_waiting_count is " +
                           std::to_string(options_.max_waiting_count) +
                           ": is a relay running, and a coordinator? Try again later");
}

void Gauge::Counted(std::size_t waiting) {
  const MutexLock lock(mutex_);
  waiting_ = waiting;
}

}  // namespace assent::internal::outbox

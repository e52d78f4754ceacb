#include "coordinator/log/start_check.h"

#include "coordinator/log/epoch.h"

namespace assent::log {
namespace {

std::string Life(std::uint64_t epoch) { return "start " + std::to_string(StartNumber(epoch)); }

std::string WalNow(const FoundLog& found) {
  return found.wal_bytes == 0 ? "is missing or empty"
                              : "has " + std::to_string(found.wal_bytes) + " bytes";
}

constexpr char kPutBack[] =
    ": put the files of the log back as they were left, all together; what was committed is lost "
    "without them";

}  // namespace

Status CheckStart(const FoundLog& found) {
  const std::string wal = found.path + "-wal";
  const std::string state_file = found.path + "-state";
  if (!found.state) {
    if (found.ended || found.epoch == 0) return OkStatus();
    return DataLoss(state_file + ": is missing or cannot be read, and " + Life(found.epoch) +
                    " did not end in order: without it nobody can tell whether " + wal +
                    " is whole (it " + WalNow(found) + ")" + kPutBack);
  }
  const LogState& state = *found.state;
  if (state.coordinator_id != found.coordinator_id) {
    return DataLoss(found.path + ": is the log of coordinator " +
                    std::to_string(found.coordinator_id) + ", and " + state_file +
                    " belongs to that of coordinator " + std::to_string(state.coordinator_id) +
                    ": one of them was replaced" + kPutBack);
  }
  if (state.open && found.wal_bytes < state.wal_bytes) {
    return DataLoss(wal + ": " + WalNow(found) + ", and must have at least " +
                    std::to_string(state.wal_bytes) + ": " + Life(state.epoch) +
                    " did not end in order, and what it committed is in there" + kPutBack);
  }
  if (found.commit_seq < state.commit_seq) {
    return DataLoss((state.open ? wal + ": " + WalNow(found) + "; " : std::string()) + found.path +
                    (state.open ? " with it" : "") + " goes up to commit " +
                    std::to_string(found.commit_seq) + ", and " + state_file +
                    " says that the log had got to commit " + std::to_string(state.commit_seq) +
                    ": " + std::to_string(state.commit_seq - found.commit_seq) +
                    " commits are missing" + kPutBack);
  }
  return OkStatus();
}

}  // namespace assent::log

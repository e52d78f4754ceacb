#include "coordinator/daemon/last_words.h"

#include <unistd.h>

#include <spdlog/spdlog.h>

#include "coordinator/daemon/server.h"

namespace assent::daemon {

void DieOfLog(const Status& status) {
  const bool damaged = status.code() == Code::kDataLoss;
  // Another coordinator has the file.
  const bool taken = status.code() == Code::kFailedPrecondition;
  spdlog::critical("event=log_failed error=\"{}\" action=\"stopping at once; {}\"",
                   status.ToString(),
                   damaged ? "the log is damaged" : "the next start learns what is true");
  spdlog::default_logger()->flush();
  _exit(damaged ? kExitDamaged : taken ? kExitDataFolder : kExitLogFailed);
}

void DieFenced(const Status& status) {
  const Code code = status.code();
  const bool alone = code == Code::kNotFound || code == Code::kAborted;  // WhyEnded
  spdlog::critical("event=fenced_out why=\"{}\" action=\"stopping at once{}\" hint=\"{}\"",
                   status.message(),
                   alone ? "" : "; the others carry on what it had, nothing is lost",
                   code == Code::kAlreadyExists ? "each coordinator needs a --node of its own"
                   : code == Code::kNotFound    ? "start it with that --log"
                                                : "start it again");
  spdlog::default_logger()->flush();
  _exit(kExitFenced);
}

void DieRegressed(const Status& status) {
  spdlog::critical(
      "event=log_regressed why=\"{}\" action=\"stopping at once\" hint=\"the database has lost "
      "what it had acknowledged: a person has to look; docs/cluster.md\"",
      status.message());
  spdlog::default_logger()->flush();
  _exit(kExitRegressed);
}

void DieUnreachable(const std::string& address) {
  spdlog::critical(
      "event=unreachable address={} action=\"stopping at once; the next start goes on\" hint=\"it "
      "dialled itself in vain; --self-dial-seconds\"",
      address);
  spdlog::default_logger()->flush();
  _exit(kExitUnreachable);
}

}  // namespace assent::daemon

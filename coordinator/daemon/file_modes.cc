#include "coordinator/daemon/file_modes.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

namespace assent::daemon {
namespace {

constexpr mode_t kAnyUseByOthers = S_IRWXG | S_IRWXO;
constexpr mode_t kWriteByOthers = S_IWGRP | S_IWOTH;

void Look(const std::string& path, mode_t bad, const char* why, std::vector<OpenFile>& found) {
  struct stat what {};
  if (path.empty() || ::stat(path.c_str(), &what) != 0) return;
  // Root gives a secret to a group by it.
  const mode_t allowed = S_ISREG(what.st_mode) && what.st_uid == 0 ? S_IRGRP : 0;
  if ((what.st_mode & bad & ~allowed) != 0) found.push_back({path, why});
}

}  // namespace

std::vector<OpenFile> OpenFiles(const Config& config) {
  std::vector<OpenFile> found;
  Look(config.data, kAnyUseByOthers, "others can enter the data folder: chmod 700", found);
  for (const std::string& secret :
       {config.webhook_secret_file, config.trace_headers_file, config.unary_secrets_file})
    Look(secret, kAnyUseByOthers, "others can read or change this secret: chmod 600", found);
  for (const std::string& rules : {config.auth_rules, config.auth_tokens})
    Look(rules, kWriteByOthers, "others can say by it who may what: chmod 644, or 600", found);
  return found;
}

void WarnOfOpenFiles(const Config& config) {
  for (const OpenFile& one : OpenFiles(config))
    spdlog::warn("event=open_file path=\"{}\" why=\"{}\"", one.path, one.why);
}

}  // namespace assent::daemon

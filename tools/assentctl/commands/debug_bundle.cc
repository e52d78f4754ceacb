// What a coordinator says of itself, in one file. Nothing of a transaction but the causes for which
// they wait: no payload, result, header or label comes here, because nobody asks for one.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/new_file.h"
#include "tools/assentctl/tar.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// Of a log that is kept, the end.
constexpr std::streamoff kMaxLogBytes = 1 << 20;

class Bundle {
 public:
  explicit Bundle(Session& session) : seconds_(session.MakeStyle().now_unix_ms / 1000) {}

  void Add(const std::string& name, const std::string& what, const Result<std::string>& content) {
    std::string line = name;
    line.resize(std::max<std::size_t>(19, line.size() + 1), ' ');
    list_ += line + (content.ok() ? what : "is missing: " + content.status().message()) + "\n";
    missing_ = missing_ || !content.ok();
    if (content.ok()) tar_ += TarEntry(name, *content, seconds_);
  }
  template <typename Message>
  void AddMessage(const std::string& name, const std::string& what,
                  const Result<Message>& message) {
    if (message.ok()) return Add(name, what, PrettyJson(ToJson(*message, {})));
    Add(name, what, message.status());
  }

  const std::string& list() const { return list_; }
  bool missing() const { return missing_; }
  std::string Whole() const { return tar_ + TarEntry("contents.txt", list_, seconds_) + TarEnd(); }

 private:
  const std::int64_t seconds_;
  std::string tar_;
  std::string list_;
  bool missing_ = false;
};

Result<std::string> EndOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return NotFound(path + ": cannot be read");
  const std::streamoff bytes = file.tellg();
  file.seekg(std::max<std::streamoff>(0, bytes - kMaxLogBytes));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (bytes > kMaxLogBytes) text.erase(0, text.find('\n') + 1);
  return text;
}

// For its owner's eyes, over nobody's.
Status WriteFile(const std::string& path, std::string_view bytes) {
  const int error = WriteNewFile(path, bytes, 0600);
  if (error == 0) return OkStatus();
  if (error == EEXIST)
    return AlreadyExists(path + ": is there already, and is left as it is: name another file");
  return Unavailable(path + ": cannot be written: " + std::strerror(error));
}

void Ask(const DebugBundleCommand& command, const Result<v1::ServerInfo>& info, Bundle& bundle,
         Session& session) {
  Service& service = session.service;
  const auto timeout = session.options.call_timeout;
  bundle.Add("assentctl.txt", "assentctl's version, and whom it asked",
             VersionText() + "\nasked " + service.Endpoint() + "\n");
  bundle.AddMessage("server.json", "version, health and figures (assentctl stats)", info);
  bundle.AddMessage("settings.json", "settings, and where each comes from (assentctl config show)",
                    service.GetSettings(timeout));
  bundle.AddMessage("causes.json",
                    "what transactions wait for, counted (assentctl list --group-by why)",
                    service.ListCauses({}, timeout));
  bundle.AddMessage("participants.json", "who is connected (assentctl participants)",
                    service.ListParticipants({}, timeout));
  v1::GetClusterRequest load;
  load.set_load(true);
  bundle.AddMessage("cluster.json", "members, and who has what (assentctl cluster)",
                    service.GetCluster(load, timeout));
  const Result<v1::MetricsPage> metrics = service.GetMetrics(timeout);
  bundle.Add("metrics.txt", "what /metrics says",
             metrics.ok() ? Result<std::string>(metrics->text()) : metrics.status());
  if (!command.log.empty())
    bundle.Add("assentd.log", "the last of " + command.log, EndOf(command.log));
}

}  // namespace

Exit RunDebugBundle(const DebugBundleCommand& command, Session& session) {
  const auto info = session.service.GetServerInfo(session.options.call_timeout);
  if (info.status().code() == Code::kUnavailable) return session.Fail(info.status());
  Bundle bundle(session);
  Ask(command, info, bundle, session);
  const std::string bytes = bundle.Whole();
  if (const Status written = WriteFile(command.file, bytes); !written.ok())
    return FailOffline(written, session);
  session.console.Out(Visible(command.file) + ", " + std::to_string(bytes.size()) +
                      " bytes, for its owner's eyes:\n\n" + bundle.list() +
                      "\nNo payload, result, header, label or password is in it. Names of services "
                      "and gids, addresses, and\nwhat participants said last, are.\n");
  return bundle.missing() ? Exit::kSomeFailed : Exit::kDone;
}

}  // namespace assent::ctl

#include "examples/order/driver/shop.h"

#include <csignal>
#include <filesystem>
#include <utility>

namespace demo {

using assent::Result;
using assent::Status;

const std::vector<Break>& Breaks() {
  static const std::vector<Break> breaks = {
      {"oversell", "inventory", "the inventory sells what is not there"},
      {"skip-cancel", "inventory", "the inventory does not put back what a CANCEL releases"},
      {"skip-compensate", "inventory", "the inventory does not take back what a COMPENSATE undoes"},
      {"lose-log", "", "the coordinator's data is deleted when it is killed"},
      {"lax-rules", "", "with --secure: the rules allow everybody everything"},
  };
  return breaks;
}

Shop::Shop(std::string directory, std::string programs, std::string broken, const Cluster& cluster,
           const Locks& locks)
    : directory_(std::move(directory)),
      programs_(std::move(programs)),
      broken_(std::move(broken)),
      log_(cluster.log),
      locks_(locks),
      coordinators_(cluster.size) {
  locks_.lax = broken_ == "lax-rules";
  locks_.several = several();
  for (Coordinator& one : coordinators_) {
    one.endpoint = "127.0.0.1:" + std::to_string(FreePort());
    one.http = "127.0.0.1:" + std::to_string(FreePort());
  }
}

std::string Shop::endpoints() const {
  std::string all;
  for (const Coordinator& one : coordinators_) all += (all.empty() ? "" : ",") + one.endpoint;
  return all;
}

std::vector<std::string> Shop::consoles() const {
  std::vector<std::string> all;
  for (const Coordinator& one : coordinators_)
    all.push_back((keys_.on() ? "https://" : "http://") + one.http + "/");
  return all;
}

Status Shop::Open() {
  Result<Keys> keys = Keys::Make(programs_, directory_, locks_);
  if (!keys.ok()) return keys.status();
  keys_ = std::move(keys).value();
  if (Status started = StartCoordinators(); !started.ok()) return started;
  opened_ = true;
  for (const char* name : kServices) {
    if (Status started = StartService(name); !started.ok()) return started;
  }
  Result<Books> books = ReadBooks();
  const auto readable = [&] {
    books = ReadBooks();
    return books.ok();
  };
  if (!Until(kPatience, readable)) return books.status();
  return assent::OkStatus();
}

std::vector<std::string> Shop::CommandOf(const std::string& service) const {
  std::vector<std::string> argv;
  if (keys_.on()) {
    argv = keys_.EnvironmentOf(service);
    argv.insert(argv.begin(), "/usr/bin/env");
  }
  argv.insert(argv.end(), {program("assent-demo-" + service), "--database",
                           directory_ + "/" + service + ".db"});
  for (const Coordinator& one : coordinators_)
    argv.insert(argv.end(), {"--coordinator", one.endpoint});
  return argv;
}

std::string Shop::ServiceCommand(const std::string& name) const {
  std::string command;
  for (const std::string& word : CommandOf(name)) command += (command.empty() ? "" : " ") + word;
  return command;
}

Status Shop::StartService(const std::string& name, const std::string& stop_at,
                          const std::string& fault) {
  Process& process = services_[name];
  process.Stop();
  std::vector<std::string> argv = CommandOf(name);
  if (!fault.empty()) argv.insert(argv.end(), {"--fault", fault});
  for (const Break& rule : Breaks()) {
    if (fault.empty() && rule.rule == broken_ && rule.service == name) {
      argv.insert(argv.end(), {"--fault", rule.rule});
    }
  }
  if (!stop_at.empty()) argv.insert(argv.end(), {"--stop", stop_at});
  stop_at_[name] = stop_at;
  return process.Start(std::move(argv), directory_ + "/" + name + ".log");
}

Status Shop::StartCoordinators() {
  for (Coordinator& one : coordinators_) {
    if (one.process.Running()) continue;
    if (Status started = StartCoordinator(one); !started.ok()) return started;
  }
  assent::ClientOptions options;
  options.tls = keys_.Of("checkout");
  for (const Coordinator& one : coordinators_) options.endpoints.push_back(one.endpoint);
  client_ = std::make_unique<assent::Client>(std::move(options));
  return assent::OkStatus();
}

Status Shop::StartCoordinator(Coordinator& coordinator) {
  const std::string data = directory_ + "/coordinator";
  if (opened_ && broken_ == "lose-log") {
    std::error_code ignored;
    std::filesystem::remove_all(data, ignored);
  }
  const std::string name = "coordinator" + (several() ? "-" + coordinator.endpoint.substr(10) : "");
  std::vector<std::string> argv{program("assentd"),        "--http-listen",
                                coordinator.http,          "--listen",
                                coordinator.endpoint,      log_.empty() ? "--data" : "--log",
                                log_.empty() ? data : log_};
  for (const std::string& flag : keys_.DaemonFlags()) argv.push_back(flag);
  Status started = coordinator.process.Start(std::move(argv), directory_ + "/" + name + ".log");
  if (!started.ok()) return started;
  // It is up when it knows that it does not know.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const assent::Client client(
        assent::ClientOptions{.endpoint = coordinator.endpoint, .tls = keys_.Of("checkout")});
    const auto answer = client.Get("nobody", {.timeout = std::chrono::seconds(1)});
    if (answer.status().code() == assent::Code::kNotFound) return assent::OkStatus();
    if (!coordinator.process.Running())
      return assent::Internal("assentd has ended; see " + name + ".log");
    if (std::chrono::steady_clock::now() > end) return answer.status();
    Pause();
  }
}

Result<int> Shop::WaitAndMend() {
  WaitForAnyToEnd();
  for (auto& [name, process] : services_) process.Running();
  int ended = 0;
  for (Coordinator& one : coordinators_) ended += one.process.Running() ? 0 : 1;
  if (Status started = StartCoordinators(); !started.ok()) return started;
  return ended;
}

Result<std::string> Shop::KillCoordinatorOf(const std::string& gid) {
  std::string owner = coordinators_.front().endpoint;
  if (several()) {
    const Printed located = Ctl({"cluster", "locate", gid, "-o", "id"});
    owner = located.text.substr(0, located.text.find('\n'));
  }
  for (Coordinator& one : coordinators_) {
    if (one.endpoint != owner) continue;
    one.process.Kill();
    return owner;
  }
  return assent::Internal("assentctl cluster locate says " + owner);
}

Status Shop::Repair() {
  if (Status started = StartCoordinators(); !started.ok()) return started;
  for (const char* name : kServices) {
    if (services_[name].Running() && stop_at_[name].empty()) continue;
    services_[name].Kill();
    if (Status started = StartService(name); !started.ok()) return started;
  }
  return assent::OkStatus();
}

std::vector<std::string> Shop::CtlWords() const {
  std::vector<std::string> argv{program("assentctl"), "--endpoint", endpoints()};
  for (const std::string& flag : keys_.CtlFlagsOf("operator")) argv.push_back(flag);
  return argv;
}

Printed Shop::Ctl(const std::vector<std::string>& words) const {
  std::vector<std::string> argv = CtlWords();
  argv.insert(argv.end(), words.begin(), words.end());
  return Run(std::move(argv));
}

std::string Shop::CtlCommand() const {
  std::string command;
  for (const std::string& word : CtlWords()) command += (command.empty() ? "" : " ") + word;
  return command;
}

}  // namespace demo

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
  };
  return breaks;
}

Shop::Shop(std::string directory, std::string programs, std::string broken)
    : directory_(std::move(directory)),
      programs_(std::move(programs)),
      broken_(std::move(broken)),
      endpoint_("127.0.0.1:" + std::to_string(FreePort())) {}

Status Shop::Open() {
  if (Status started = StartCoordinator(); !started.ok()) return started;
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

Status Shop::StartService(const std::string& name, const std::string& stop_at) {
  Process& process = services_[name];
  process.Stop();
  std::vector<std::string> argv = {programs_ + "/assent-demo-" + name, "--database",
                                   directory_ + "/" + name + ".db", "--coordinator", endpoint_};
  for (const Break& rule : Breaks()) {
    if (rule.rule == broken_ && rule.service == name) {
      argv.insert(argv.end(), {"--fault", rule.rule});
    }
  }
  if (!stop_at.empty()) argv.insert(argv.end(), {"--stop", stop_at});
  stop_at_[name] = stop_at;
  return process.Start(std::move(argv), directory_ + "/" + name + ".log");
}

Status Shop::StartCoordinator() {
  const std::string data = directory_ + "/coordinator";
  if (opened_ && broken_ == "lose-log") {
    std::error_code ignored;
    std::filesystem::remove_all(data, ignored);
  }
  Status started =
      coordinator_.Start({programs_ + "/assentd", "--listen", endpoint_, "--data", data},
                         directory_ + "/coordinator.log");
  if (!started.ok()) return started;
  // It is up when it knows that it does not know.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    client_ = std::make_unique<assent::Client>(assent::ClientOptions{.endpoint = endpoint_});
    const auto answer = client_->Get("nobody", {.timeout = std::chrono::seconds(1)});
    if (answer.status().code() == assent::Code::kNotFound) return assent::OkStatus();
    if (!coordinator_.Running()) return assent::Internal("assentd has ended; see coordinator.log");
    if (std::chrono::steady_clock::now() > end) return answer.status();
    Pause();
  }
}

Status Shop::Repair() {
  if (!coordinator_.Running()) {
    if (Status started = StartCoordinator(); !started.ok()) return started;
  }
  for (const char* name : kServices) {
    if (services_[name].Running() && stop_at_[name].empty()) continue;
    services_[name].Kill();
    if (Status started = StartService(name); !started.ok()) return started;
  }
  return assent::OkStatus();
}

Printed Shop::Show(const std::string& gid) const {
  return Run({programs_ + "/assentctl", "--endpoint", endpoint_, "show", gid});
}

}  // namespace demo

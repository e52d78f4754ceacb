#include "tools/assent-bench/fleet.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <signal.h>
#include <sstream>
#include <thread>
#include <unistd.h>

#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "assent/v1/transaction.grpc.pb.h"

namespace assent::bench {
namespace {

[[noreturn]] void Die(const std::string& message) {
  std::fprintf(stderr, "assent-bench: %s\n", message.c_str());
  std::exit(1);
}

std::string SelfFolder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

// A child whose standard output we read. Dies with us.
class Child {
 public:
  Child(std::vector<std::string> argv, const std::string& error_file) : name_(argv[0]) {
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0) Die("no pipe");
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(pipe_ends[1], 1);
      const int errors = open(error_file.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
      if (errors >= 0) dup2(errors, 2);
      close(pipe_ends[0]);
      std::vector<char*> words;
      for (std::string& word : argv) words.push_back(word.data());
      words.push_back(nullptr);
      execv(words[0], words.data());
      _exit(127);
    }
    close(pipe_ends[1]);
    output_ = fdopen(pipe_ends[0], "r");
  }
  ~Child() { Stop(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The next line that contains `text`; ends the program if the child ends before.
  std::string WaitLine(const std::string& text) {
    char* line = nullptr;
    std::size_t size = 0;
    while (getline(&line, &size, output_) > 0) {
      const std::string got = line;
      if (got.find(text) == std::string::npos) continue;
      std::free(line);
      return got;
    }
    std::free(line);
    Die(name_ + " ended without saying \"" + text + "\"");
  }
  void Stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    for (int i = 0; i < 500 && waitpid(pid_, nullptr, WNOHANG) == 0; ++i)
      Pass(std::chrono::milliseconds(10));
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
    fclose(output_);
  }
  void WaitEnd() {
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
    fclose(output_);
  }
  pid_t pid() const { return pid_; }

 private:
  std::string name_;
  pid_t pid_ = -1;
  FILE* output_ = nullptr;
};

Usage UsageOf(pid_t pid) {
  Usage usage;
  const std::string proc = "/proc/" + std::to_string(pid) + "/";
  std::ifstream stat(proc + "stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 2)));
  std::string field;
  for (int i = 3; i <= 15 && fields >> field; ++i) {
    if (i >= 14)
      usage.cpu_seconds +=
          std::strtod(field.c_str(), nullptr) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  std::ifstream status(proc + "status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) usage.peak_kib = std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  std::ifstream io(proc + "io");
  for (std::string line; std::getline(io, line);) {
    if (line.rfind("wchar:", 0) == 0)
      usage.written_bytes = std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  return usage;
}

void Add(Usage& sum, const Usage& one) {
  sum.cpu_seconds += one.cpu_seconds;
  sum.peak_kib += one.peak_kib;
  sum.written_bytes += one.written_bytes;
}

struct ServerInfo {
  std::uint64_t begun = 0;
  std::uint64_t records = 0;
  std::uint64_t commits = 0;
};
ServerInfo AskServer(const std::string& endpoint) {
  auto stub = v1::TransactionService::NewStub(
      grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ServerInfo info;
  if (!stub->GetServerInfo(&context, {}, &info).ok()) return {};
  return {info.begun(), info.log_records(), info.log_commits()};
}

// A port that is free now.
std::string FreeAddress() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (fd < 0 || bind(fd, any, size) != 0 || getsockname(fd, any, &size) != 0) Die("no free port");
  close(fd);
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

}  // namespace

Measurement Measure(const Load& load, bool floor, const std::string& wanted_folder) {
  std::string folder = wanted_folder;
  if (folder.empty()) {
    std::string pattern = std::filesystem::temp_directory_path() / "assent-bench-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) Die("no temporary folder");
    folder = pattern;
  }
  const std::string self = SelfFolder() + "/assent-bench";
  const std::string errors = folder + "/errors";
  const auto child = [&](std::vector<std::string> argv) {
    return std::make_unique<Child>(std::move(argv), errors);
  };
  const auto with_load = [&](std::vector<std::string> argv) {
    for (const std::string& word : LoadArguments(load)) argv.push_back(word);
    return child(std::move(argv));
  };

  std::vector<std::unique_ptr<Child>> participants;
  std::vector<std::string> daemon{SelfFolder() + "/assentd",
                                  "--listen",
                                  "127.0.0.1:0",
                                  "--data",
                                  folder + "/data",
                                  "--log-level",
                                  "warn",
                                  "--drain-seconds",
                                  "0"};
  if (floor) daemon = {self, "floor-coordinator", "--endpoint", "127.0.0.1:0", "--folder", folder};
  if (load.workload == "unary") {
    for (int i = 0; i < load.participants; ++i) {
      const std::string address = FreeAddress();
      participants.push_back(child({self, "unary-participant", "--endpoint", address}));
      participants.back()->WaitLine("ready");
      daemon.push_back("--unary");
      daemon.push_back(ServiceName(i) + "=" + address);
    }
  }
  auto coordinator = child(daemon);
  const std::string card = coordinator->WaitLine("listening");
  const std::size_t at = card.find("127.0.0.1:");
  const std::string endpoint = card.substr(at, card.find_first_of(" \n", at) - at);
  if (load.workload != "unary") {
    for (int i = 0; i < load.participants; ++i) {
      participants.push_back(with_load({self, "participant", "--number", std::to_string(i),
                                        "--endpoint", endpoint, "--folder", folder}));
    }
  }
  if (load.workload != "unary") {
    for (auto& participant : participants) participant->WaitLine("ready");
  }

  Load share = load;
  share.in_flight = std::max(1, load.in_flight / load.initiators);
  share.rate = load.rate / load.initiators;
  std::vector<std::unique_ptr<Child>> initiators;
  for (int i = 0; i < load.initiators; ++i) {
    std::vector<std::string> argv{self, "initiator", "--endpoint", endpoint};
    for (const std::string& word : LoadArguments(share)) argv.push_back(word);
    initiators.push_back(child(std::move(argv)));
  }
  Pass(std::chrono::duration<double>(load.warmup_seconds));
  const ServerInfo before = floor ? ServerInfo{} : AskServer(endpoint);
  std::map<std::string, Usage> at_start;
  const auto sample = [&] {
    std::map<std::string, Usage> usage;
    usage["coordinator"] = UsageOf(coordinator->pid());
    for (auto& p : participants) Add(usage["participants"], UsageOf(p->pid()));
    for (auto& i : initiators) Add(usage["initiators"], UsageOf(i->pid()));
    return usage;
  };
  at_start = sample();
  Pass(std::chrono::duration<double>(load.seconds));
  Measurement result;
  result.usage = sample();
  const ServerInfo after = floor ? ServerInfo{} : AskServer(endpoint);
  for (auto& [name, usage] : result.usage) {
    usage.cpu_seconds -= at_start[name].cpu_seconds;
    usage.written_bytes -= at_start[name].written_bytes;
  }
  for (auto& initiator : initiators) {
    const nlohmann::json seen = nlohmann::json::parse(initiator->WaitLine("{"));
    initiator->WaitEnd();
    result.committed += seen.at("committed").get<std::uint64_t>();
    result.aborted += seen.at("aborted").get<std::uint64_t>();
    result.failed += seen.at("failed").get<std::uint64_t>();
    if (result.first_failure.empty()) result.first_failure = seen.at("first_failure");
    result.seconds = seen.at("seconds");
    result.latency.Merge(Histogram::FromJson(seen.at("latency")));
  }
  const double begun = static_cast<double>(after.begun - before.begun);
  result.log_commits = after.commits - before.commits;
  if (begun > 0) result.log_records = static_cast<double>(after.records - before.records) / begun;
  if (result.log_commits > 0)
    result.group_size = static_cast<double>(after.records - before.records) /
                        static_cast<double>(result.log_commits);
  participants.clear();
  coordinator.reset();
  if (wanted_folder.empty() && result.failed == 0) std::filesystem::remove_all(folder);
  return result;
}

}  // namespace assent::bench

#include "tools/assent-bench/fleet.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>
#include <utility>

#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "tools/assent-bench/certificates.h"
#include "tools/assent-bench/database.h"

namespace assent::bench {
namespace {

constexpr const char* kTraced = "trace=fsync,fdatasync,sync_file_range,pwrite64,sendmsg";

// How often SQLite has begun its WAL anew, which is how often a checkpoint was complete: the
// header's third number.
std::uint32_t CheckpointsOf(const std::string& database) {
  std::ifstream wal(database + "-wal", std::ios::binary);
  unsigned char header[16] = {};
  if (!wal.read(reinterpret_cast<char*>(header), sizeof(header))) return 0;
  return std::uint32_t{header[12]} << 24 | std::uint32_t{header[13]} << 16 |
         std::uint32_t{header[14]} << 8 | header[15];
}

std::uint64_t BytesIn(const std::string& folder) {
  std::uint64_t sum = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().string().ends_with("-reserve")) continue;
    sum += entry.is_regular_file(error) ? entry.file_size(error) : 0;
  }
  return sum;
}

// "% time seconds usecs/call calls errors syscall", as strace -c prints it.
std::map<std::string, double> ReadSyscalls(const std::string& path) {
  std::map<std::string, double> calls;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<std::string> word;
    for (std::string one; words >> one;) word.push_back(one);
    if (word.size() >= 5 && word.back() != "total" && word.back() != "syscall" &&
        word[0].find_first_not_of("0123456789.") == std::string::npos)
      calls[word.back()] = std::strtod(word[3].c_str(), nullptr);
  }
  return calls;
}

}  // namespace

Folder::Folder(const std::string& wanted) : path_(wanted), temporary_(wanted.empty()) {
  if (!temporary_) {
    std::error_code error;
    std::filesystem::create_directories(path_, error);
    if (error) Die(path_ + ": " + error.message());
    return;
  }
  std::string pattern = std::filesystem::temp_directory_path() / "assent-bench-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) Die("no temporary folder");
  path_ = pattern;
}
Folder::~Folder() {
  std::error_code error;
  if (temporary_) std::filesystem::remove_all(path_, error);
}

void ShowProgress(const std::string& title, double seconds, double of_seconds) {
  if (isatty(2) == 0) return;
  std::fprintf(stderr, "\r\033[K%s%s%.0f of %.0f s", title.c_str(), title.empty() ? "" : ", ",
               seconds, of_seconds);
}
void EndProgress() {
  if (isatty(2) != 0) std::fprintf(stderr, "\r\033[K");
}

std::vector<std::string> DaemonCommand(const Load& load, const std::string& folder) {
  std::vector<std::string> command{BinFolder() + "/assentd",
                                   "--log-level",
                                   "warn",
                                   "--drain-seconds",
                                   "0",
                                   "--http-listen",
                                   load.http || load.workload == "rest" ? "127.0.0.1:0" : "none"};
  if (load.log.empty()) {
    command.insert(command.end(), {"--listen", "127.0.0.1:0", "--data", folder + "/data"});
  } else {
    command.insert(command.end(), {"--listen", FreeAddress(), "--log", load.log});
  }
  if (!load.tls_folder.empty()) {
    const std::vector<std::string> tls = DaemonTlsArguments(load.tls_folder);
    command.insert(command.end(), tls.begin(), tls.end());
  }
  command.insert(command.end(), load.daemon_arguments.begin(), load.daemon_arguments.end());
  return command;
}

std::string WaitListening(Child& coordinator, const char* line) {
  const std::string card = coordinator.WaitLine(line);
  const std::size_t at = card.find("127.0.0.1:");
  return card.substr(at, card.find_first_of(" /\n", at) - at);
}

namespace {

// One measurement, from the first process to the last.
class Run {
 public:
  Run(const Load& load, Kind kind, const std::string& wanted_folder)
      : load_(load), kind_(kind), folder_(wanted_folder), self_(BinFolder() + "/assent-bench") {
    if (load_.tls) {
      load_.tls_folder = folder_.path() + "/tls";
      MakeCertificates(load_.tls_folder);
    }
    if (load_.log.empty()) return;
    database_ = std::make_unique<Database>(load_.log, load_.commit_delay_ms);
    load_.log = database_->url();
  }

  Measurement Take() {
    const bool unary = load_.workload == "unary";
    if (unary) StartUnaryParticipants();
    StartCoordinators();
    if (!unary && !IsPlainEcho()) StartParticipants();
    StartInitiators();
    WaitWarm();
    // Plain echo has nothing to say of itself.
    const Asker asker(IsPlainEcho() ? "" : endpoints_.front(), load_.tls_folder);
    (void)asker.Ask();
    const Sample begin = TakeSample(asker);
    PassMeasuredTime();
    const Sample end = TakeSample(asker);
    Gather();
    Subtract(begin, end);
    Finish();
    if (result_.failed > 0) folder_.Keep();
    return std::move(result_);
  }

 private:
  struct Sample {
    std::map<std::string, Usage> usage;
    ServerInfo server;
    Traffic traffic;
    std::uint32_t checkpoints = 0;
  };

  // The floor of `rest`: without participants, and without gRPC.
  bool IsPlainEcho() const { return kind_ == Kind::kFloor && load_.workload == "rest"; }

  std::unique_ptr<Child> Start(std::vector<std::string> argv, const Load* load) {
    if (load != nullptr) {
      for (const std::string& word : LoadArguments(*load)) argv.push_back(word);
    }
    return std::make_unique<Child>(std::move(argv), folder_.path() + "/errors");
  }

  void StartUnaryParticipants() {
    for (int i = 0; i < load_.participants; ++i) {
      addresses_.push_back(FreeAddress());
      participants_.push_back(
          Start({self_, "unary-participant", "--endpoint", addresses_.back()}, &load_));
      participants_.back()->WaitLine("ready");
    }
  }

  void StartCoordinators() {
    const int count = kind_ == Kind::kFloor ? 1 : load_.coordinators;
    for (int i = 0; i < count; ++i) StartCoordinator();
    for (auto& coordinator : coordinators_) {
      if (!IsPlainEcho()) endpoints_.push_back(WaitListening(*coordinator));
      if (load_.workload == "rest") http_ = WaitListening(*coordinator, "http ");
    }
    if (count > 1) WaitShared(endpoints_.front(), count, load_.tls_folder);
  }

  void StartCoordinator() {
    std::vector<std::string> command = DaemonCommand(load_, folder_.path());
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
      command.push_back("--unary");
      command.push_back(ServiceName(load_, static_cast<int>(i)) + "=" + (load_.tls ? "tls:" : "") +
                        addresses_[i]);
    }
    if (IsPlainEcho()) {
      command = {self_, "rest-floor"};
    } else if (kind_ == Kind::kFloor && addresses_.empty()) {
      command = {self_,         "floor-coordinator", "--endpoint",
                 "127.0.0.1:0", "--folder",          folder_.path()};
      for (const std::string& word : LoadArguments(load_)) command.push_back(word);
    } else if (kind_ == Kind::kFloor) {
      command = {self_, "unary-floor", "--endpoint", "127.0.0.1:0"};
      for (const std::string& address : addresses_)
        command.insert(command.end(), {"--dial", address});
    }
    command.insert(command.begin(), load_.under.begin(), load_.under.end());
    if (load_.count_syscalls) {
      const std::vector<std::string> strace{
          "strace", "-D", "-f",    "-c", "--seccomp-bpf",
          "-qq",    "-e", kTraced, "-o", folder_.path() + "/syscalls"};
      command.insert(command.begin(), strace.begin(), strace.end());
    }
    coordinators_.push_back(Start(std::move(command), nullptr));
  }

  void StartParticipants() {
    for (int i = 0; i < load_.participants; ++i) {
      participants_.push_back(
          Start({self_, "participant", "--number", std::to_string(i), "--endpoint",
                 absl::StrJoin(endpoints_, ","), "--folder", folder_.path()},
                &load_));
    }
    for (auto& participant : participants_) participant->WaitLine("ready");
  }

  void StartInitiators() {
    Load share = load_;
    share.in_flight = std::max(1, load_.in_flight / load_.initiators);
    share.rate = load_.rate / load_.initiators;
    for (int i = 0; i < load_.initiators; ++i) {
      const std::string to = http_.empty() ? absl::StrJoin(endpoints_, ",") : http_;
      initiators_.push_back(Start({self_, "initiator", "--endpoint", to}, &share));
    }
  }

  // Each initiator says when its measured time begins; the last one counts.
  void WaitWarm() {
    ShowProgress(load_.title, 0, load_.seconds);
    for (auto& initiator : initiators_) initiator->WaitLine("measuring");
  }

  void PassMeasuredTime() {
    const auto begin = std::chrono::steady_clock::now();
    for (double passed = 0; passed < load_.seconds;) {
      ShowProgress(load_.title, passed, load_.seconds);
      const double next = std::min(load_.seconds, passed + 0.25);
      PassUntil(begin + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                            std::chrono::duration<double>(next)));
      passed = next;
      result_.file_bytes = std::max(result_.file_bytes, BytesIn(folder_.path() + "/data"));
    }
    EndProgress();
  }

  Sample TakeSample(const Asker& asker) {
    Sample sample;
    for (std::size_t i = 0; i < coordinators_.size(); ++i) {
      const std::string number = coordinators_.size() == 1 ? "" : " " + std::to_string(i + 1);
      sample.usage["coordinator" + number] = UsageOf(coordinators_[i]->pid());
    }
    if (database_ && database_->is_local()) sample.usage["postgresql"] = database_->ServerUsage();
    for (auto* group : {&participants_, &initiators_}) {
      Usage& sum = sample.usage[group == &participants_ ? "participants" : "initiators"];
      for (auto& child : *group) {
        const Usage one = UsageOf(child->pid());
        sum += one;
        result_.peak_kib_each = std::max(result_.peak_kib_each, one.peak_kib);
      }
    }
    std::vector<std::uint16_t> dialled;
    for (const std::string& address : addresses_) dialled.push_back(PortOf(address));
    if (!http_.empty()) dialled.push_back(PortOf(http_));
    if (IsPlainEcho()) sample.traffic += TrafficOf(PortOf(http_), {});
    for (const std::string& endpoint : endpoints_)
      sample.traffic += TrafficOf(PortOf(endpoint), std::exchange(dialled, {}));
    sample.server = asker.Ask();
    const std::string name = kind_ == Kind::kFloor ? "floor.db" : "assent.db";
    sample.checkpoints = CheckpointsOf(folder_.path() + "/data/" + name);
    return sample;
  }

  void Gather() {
    for (auto& initiator : initiators_) {
      const nlohmann::json seen = nlohmann::json::parse(initiator->WaitLine("{"));
      initiator->Stop();
      result_.committed += seen.at("committed").get<std::uint64_t>();
      result_.aborted += seen.at("aborted").get<std::uint64_t>();
      result_.failed += seen.at("failed").get<std::uint64_t>();
      result_.refused += seen.at("refused").get<std::uint64_t>();
      if (result_.first_failure.empty()) result_.first_failure = seen.at("first_failure");
      result_.seconds = seen.at("seconds");
      result_.latency.Merge(Histogram::FromJson(seen.at("latency")));
      result_.refusal.Merge(Histogram::FromJson(seen.at("refusal")));
      result_.longest_gap_ms = std::max(result_.longest_gap_ms, seen.at("gap_ms").get<double>());
      ended_ += seen.at("ended").get<std::uint64_t>();
      requests_ += seen.at("requests").get<std::uint64_t>();
    }
  }

  void Subtract(const Sample& begin, const Sample& end) {
    for (const auto& [name, usage] : end.usage) {
      const Usage& before = begin.usage.at(name);
      result_.usage[name] = {.cpu_seconds = usage.cpu_seconds - before.cpu_seconds,
                             .peak_kib = usage.peak_kib,
                             .resident_kib = usage.resident_kib,
                             .written_bytes = usage.written_bytes - before.written_bytes};
    }
    const double count =
        std::max<double>(1, static_cast<double>(result_.committed + result_.aborted));
    const auto delta = [&](std::uint64_t from, std::uint64_t to) {
      return to > from ? static_cast<double>(to - from) : 0;
    };
    result_.tcp_bytes = delta(begin.traffic.bytes, end.traffic.bytes) / count;
    result_.tcp_segments = delta(begin.traffic.segments, end.traffic.segments) / count;
    result_.log_records = delta(begin.server.records, end.server.records) / count;
    result_.log_commits = delta(begin.server.commits, end.server.commits) / count;
    result_.commits = end.server.commits - begin.server.commits;
    if (result_.commits > 0)
      result_.group_size =
          delta(begin.server.records, end.server.records) / static_cast<double>(result_.commits);
    result_.checkpoints = end.checkpoints - begin.checkpoints;
  }

  // Participants say at their end what they have heard; strace what it has seen.
  void Finish() {
    std::uint64_t messages = 2 * requests_;
    double operations = 0;
    double groups = 0;
    for (auto& participant : participants_) {
      const std::string last = participant->StopAndRead();
      if (last.empty()) continue;
      const nlohmann::json seen = nlohmann::json::parse(last);
      messages +=
          seen.at("commands").get<std::uint64_t>() + seen.at("replies").get<std::uint64_t>();
      operations += seen.value("operations", 0.0);
      groups += seen.value("groups", 0.0);
    }
    const double ended = std::max<double>(1, static_cast<double>(ended_));
    result_.messages = static_cast<double>(messages) / ended;
    if (groups > 0) result_.local_group = operations / groups;
    result_.ended = ended_;
    for (auto& coordinator : coordinators_) coordinator->Stop();
    if (!load_.count_syscalls) return;
    const std::string path = folder_.path() + "/syscalls";
    for (int i = 0; i < 500 && ReadSyscalls(path).empty(); ++i) Pass(std::chrono::milliseconds(10));
    for (const auto& [name, calls] : ReadSyscalls(path)) result_.syscalls[name] = calls / ended;
  }

  Load load_;
  const Kind kind_;
  std::unique_ptr<Database> database_;  // outlives the processes
  Folder folder_;
  const std::string self_;
  std::vector<std::string> addresses_;  // of unary participants
  std::vector<std::string> endpoints_;
  std::string http_;  // the coordinator's, for `rest`
  std::vector<std::unique_ptr<Child>> coordinators_;
  std::vector<std::unique_ptr<Child>> participants_;
  std::vector<std::unique_ptr<Child>> initiators_;
  std::uint64_t ended_ = 0;
  std::uint64_t requests_ = 0;
  Measurement result_;
};

}  // namespace

Measurement Measure(const Load& load, Kind kind, const std::string& folder) {
  return Run(load, kind, folder).Take();
}

}  // namespace assent::bench

#include "tests/support/process.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

extern char** environ;

namespace assent::test {
namespace {

constexpr std::chrono::milliseconds kLookAgain{5};

// Only what is async-signal-safe happens between fork and exec: the test may have threads.
[[noreturn]] void Execute(pid_t parent, char* const* argv, char* const* env, const char* directory,
                          int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);  // it died before the line above
  setpgid(0, 0);                        // Ctrl-C is for our parent
  // Our parent's handlers are not ours: what was sent to us since fork (it is blocked so long)
  // would run one and be lost. What it ignores stays ignored, as after every exec.
  for (int signal_number = 1; signal_number < NSIG; ++signal_number) {
    struct sigaction now {};
    if (sigaction(signal_number, nullptr, &now) == 0 && now.sa_handler != SIG_IGN)
      std::signal(signal_number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (directory[0] != '\0' && chdir(directory) != 0) _exit(126);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close_range(3, ~0U, 0);
  execvpe(argv[0], argv, env);
  constexpr char kMessage[] = "cannot be executed\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(127);
}

std::vector<std::string> Environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (added.count(std::string(text.substr(0, text.find('=')))) == 0) entries.emplace_back(text);
  }
  for (const auto& [name, value] : added) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Process::Process(ProcessOptions options) : options_(std::move(options)) {
  if (!options_.output_file.empty()) return;
  std::string name = std::filesystem::temp_directory_path() / "assent-output-XXXXXX";
  const int file = mkstemp(name.data());
  ASSENT_CHECK(file >= 0);
  close(file);
  options_.output_file = name;
  own_output_ = true;
}

Process::~Process() {
  Kill();
  if (own_output_) unlink(options_.output_file.c_str());
}

Status Process::Start() {
  if (Running()) return FailedPrecondition(options_.argv.at(0) + " already runs");
  const int output =
      open(options_.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) return Internal(options_.output_file + ": " + std::strerror(errno));
  std::error_code error;
  output_begin_ =
      static_cast<std::int64_t>(std::filesystem::file_size(options_.output_file, error));
  std::vector<std::string> arguments = options_.argv;
  std::vector<std::string> environment = Environment(options_.env);
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> env = Pointers(environment);
  const pid_t parent = getpid();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t child = fork();
  if (child == 0) Execute(parent, argv.data(), env.data(), options_.directory.c_str(), output);
  const int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(output);
  if (child < 0) return Internal(std::string("fork: ") + std::strerror(fork_error));
  const MutexLock lock(mutex_);
  setpgid(child, child);  // it does the same: here, so that it is so when we return
  pid_ = child;
  stopped_ = false;
  exit_code_.reset();
  return OkStatus();
}

void Process::Reap(int flags) {
  if (pid_ < 0) return;
  int status = 0;
  const pid_t changed = waitpid(pid_, &status, flags | WUNTRACED | WCONTINUED);
  if (changed != pid_) return;
  if (WIFSTOPPED(status)) {
    stopped_ = true;
  } else if (WIFCONTINUED(status)) {
    stopped_ = false;
  } else {
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    pid_ = -1;
  }
}

bool Process::Signal(int signal_number) {
  const MutexLock lock(mutex_);
  return pid_ > 0 && kill(pid_, signal_number) == 0;
}

void Process::Kill() {
  const MutexLock lock(mutex_);
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (pid_ > 0) Reap(0);
}

std::optional<int> Process::Stop(std::chrono::milliseconds timeout) {
  Signal(SIGTERM);
  std::optional<int> code = WaitForExit(timeout);
  if (!code) Kill();
  return code;
}

std::optional<int> Process::WaitForExit(std::chrono::milliseconds timeout) {
  WaitUntil([this] { return !Running(); }, timeout);
  const MutexLock lock(mutex_);
  return exit_code_;
}

bool Process::WaitStopped(std::chrono::milliseconds timeout) {
  const auto stopped = [this] {
    const MutexLock lock(mutex_);
    return stopped_;
  };
  WaitUntil([&] { return !Running() || stopped(); }, timeout);
  return stopped();
}

pid_t Process::pid() const {
  const MutexLock lock(mutex_);
  return pid_;
}

bool Process::Running() {
  const MutexLock lock(mutex_);
  Reap(WNOHANG);
  return pid_ > 0;
}

std::string Process::Output(bool all) const {
  std::ifstream file(options_.output_file, std::ios::binary);
  if (!all) file.seekg(output_begin_);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool Process::WaitForOutput(std::string_view text, std::chrono::milliseconds timeout) {
  const auto written = [&] { return Output().find(text) != std::string::npos; };
  WaitUntil([&] { return written() || !Running(); }, timeout);
  return written();
}

Finished RunToEnd(ProcessOptions options, std::chrono::milliseconds timeout) {
  const auto begin = std::chrono::steady_clock::now();
  Process process(std::move(options));
  Finished finished;
  if (const Status started = process.Start(); !started.ok()) {
    finished.output = started.ToString();
    return finished;
  }
  finished.exit_code = process.WaitForExit(timeout);
  process.Kill();
  finished.output = process.Output();
  finished.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return finished;
}

TempDir::TempDir() {
  path_ = std::filesystem::temp_directory_path() / "assent-test-XXXXXX";
  ASSENT_CHECK(mkdtemp(path_.data()) != nullptr);
}

TempDir::~TempDir() {
  if (std::getenv("ASSENT_KEEP") != nullptr) {
    std::fprintf(stderr, "kept: %s\n", path_.c_str());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::uint16_t FreePort() {
  // Below the ports that the kernel hands out to outgoing connections: one of those could take the
  // port while its program is being restarted; even a connection to that very port, which then
  // talks to itself.
  int first_ephemeral = 32768;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first_ephemeral;
  constexpr int kFirst = 10'000;
  std::random_device random;
  for (int tries = 0; tries < 1000; ++tries) {
    const int span = std::max(first_ephemeral - kFirst, 1000);
    const auto port = static_cast<std::uint16_t>(kFirst + static_cast<int>(random() % span));
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSENT_CHECK(probe >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const bool free = bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    close(probe);
    if (free) return port;
  }
  ASSENT_CHECK(!"no free port");
  return 0;
}

bool WaitUntil(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return condition();
    std::this_thread::sleep_for(kLookAgain);  // tidy: allow(sleep) between two looks at a condition
  }
  return true;
}

std::string BinDir() {
  if (const char* set = std::getenv("ASSENT_BIN_DIR")) return set;
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::string SourceDir() {
  if (const char* set = std::getenv("ASSENT_SOURCE_DIR")) return set;
  return std::filesystem::path(BinDir()) / "../../..";
}

}  // namespace assent::test

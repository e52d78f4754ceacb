#include "examples/order/driver/process.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <thread>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace demo {
namespace {

constexpr std::chrono::milliseconds kLookAgain{2};
constexpr std::chrono::seconds kStopGrace{10};

// In the child, between fork and exec.
[[noreturn]] void Execute(pid_t parent, char* const* argv, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);  // the demo died before the line above
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close_range(3, ~0U, 0);
  execv(argv[0], argv);
  constexpr char kMessage[] = "cannot be executed\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(127);
}

// The child's pid, or -1.
pid_t Spawn(std::vector<std::string>& argv, int output) {
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (std::string& argument : argv) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) Execute(parent, pointers.data(), output);
  return child;
}

}  // namespace

Process::~Process() { Kill(); }

assent::Status Process::Start(std::vector<std::string> argv, const std::string& log_file) {
  ASSENT_CHECK(!Running());
  if (access(argv[0].c_str(), X_OK) != 0) {
    return assent::NotFound(argv[0] + ": " + std::strerror(errno) + " (is it built?)");
  }
  const int output = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) return assent::Internal(log_file + ": " + std::strerror(errno));
  pid_ = Spawn(argv, output);
  close(output);
  if (pid_ < 0) return assent::Internal(argv[0] + ": fork: " + std::strerror(errno));
  state_ = State::kRunning;
  return assent::OkStatus();
}

// Takes one change of the child's state, if there is one; with `wait`, when there is one.
void Process::Look(bool wait) {
  int status = 0;
  if (waitpid(pid_, &status, WUNTRACED | WCONTINUED | (wait ? 0 : WNOHANG)) != pid_) return;
  if (WIFSTOPPED(status)) {
    state_ = State::kStopped;
  } else if (WIFCONTINUED(status)) {
    state_ = State::kRunning;
  } else {
    state_ = State::kNone;
    pid_ = -1;
  }
}

bool Process::Running() {
  if (state_ != State::kNone) Look(false);
  return state_ != State::kNone;
}

void Process::Signal(int signal_number) {
  if (Running()) kill(pid_, signal_number);
}

void Process::Kill() {
  Signal(SIGKILL);
  while (state_ != State::kNone) Look(true);
}

void Process::Stop() {
  Signal(SIGTERM);
  Signal(SIGCONT);
  Until(kStopGrace, [this] { return !Running(); });
  Kill();
}

bool Process::WaitStopped(std::chrono::milliseconds timeout) {
  Until(timeout, [this] { return !Running() || state_ == State::kStopped; });
  return state_ == State::kStopped;
}

void Pause() {
  std::this_thread::sleep_for(kLookAgain);  // tidy: allow(sleep) between two looks at a condition
}

void WaitForAnyToEnd() {
  siginfo_t ignored{};
  while (waitid(P_ALL, 0, &ignored, WEXITED | WNOWAIT) < 0 && errno == EINTR) continue;
}

Printed Run(std::vector<std::string> argv) {
  Printed printed;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return printed;
  const pid_t child = Spawn(argv, ends[1]);
  close(ends[1]);
  char buffer[4096];
  for (ssize_t size = 0; (size = read(ends[0], buffer, sizeof(buffer))) != 0;) {
    if (size > 0) printed.text.append(buffer, static_cast<std::size_t>(size));
    if (size < 0 && errno != EINTR) break;
  }
  close(ends[0]);
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)) {
    printed.exit_code = WEXITSTATUS(status);
  }
  return printed;
}

int FreePort() {
  // Below those that the kernel gives to outgoing connections: a service that dials while the
  // coordinator is down must not be given the coordinator's port.
  constexpr unsigned kFirst = 10'000;
  constexpr unsigned kCount = 20'000;
  std::random_device random;
  for (;;) {
    const int port = static_cast<int>(kFirst + random() % kCount);
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const bool free = bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    close(probe);
    if (free) return port;
  }
}

}  // namespace demo

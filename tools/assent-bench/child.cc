#include "tools/assent-bench/child.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <signal.h>
#include <sstream>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tools/assent-bench/options.h"

namespace assent::bench {

void Die(const std::string& message) {
  std::fprintf(stderr, "assent-bench: %s\n", message.c_str());
  std::exit(1);
}

std::string BinFolder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

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

std::uint16_t PortOf(const std::string& endpoint) {
  return static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
}

Child::Child(std::vector<std::string> argv, const std::string& error_file) : name_(argv[0]) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) Die("no pipe");
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(pipe_ends[1], 1);
    const int errors = open(error_file.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
    if (errors >= 0) dup2(errors, 2);
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    execvp(words[0], words.data());
    _exit(127);
  }
  close(pipe_ends[1]);
  output_ = fdopen(pipe_ends[0], "r");
}

bool Child::ReadLine(std::string& line) {
  char* text = nullptr;
  std::size_t size = 0;
  const bool got = getline(&text, &size, output_) > 0;
  if (got) line = text;
  std::free(text);
  return got;
}

std::string Child::WaitLine(const std::string& text) {
  for (std::string line; ReadLine(line);) {
    if (line.find(text) != std::string::npos) return line;
  }
  Die(name_ + " ended without saying \"" + text + "\"");
}

std::string Child::StopAndRead() {
  if (pid_ <= 0) return "";
  kill(pid_, SIGTERM);
  bool ended = false;
  for (int i = 0; i < 500 && !ended; ++i) {
    ended = waitpid(pid_, nullptr, WNOHANG) != 0;
    if (!ended) Pass(std::chrono::milliseconds(10));
  }
  if (!ended) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_ = -1;
  std::string last;
  for (std::string line; ReadLine(line);) {
    if (line[0] == '{') last = line;
  }
  fclose(output_);
  return last;
}

void Child::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  WaitEnd();
}

void Child::WaitEnd() {
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
  fclose(output_);
}

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
    if (line.rfind("VmRSS:", 0) == 0)
      usage.resident_kib = std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  std::ifstream io(proc + "io");
  for (std::string line; std::getline(io, line);) {
    if (line.rfind("wchar:", 0) == 0)
      usage.written_bytes = std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  return usage;
}

Usage& operator+=(Usage& sum, const Usage& one) {
  sum.cpu_seconds += one.cpu_seconds;
  sum.peak_kib += one.peak_kib;
  sum.resident_kib += one.resident_kib;
  sum.written_bytes += one.written_bytes;
  return sum;
}

void SayAndStay(const nlohmann::json& seen) {
  std::printf("%s\n", seen.dump().c_str());
  std::fflush(stdout);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  int signal = 0;
  sigwait(&signals, &signal);
}

}  // namespace assent::bench

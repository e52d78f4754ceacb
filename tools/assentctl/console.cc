#include "tools/assentctl/console.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <poll.h>
#include <termios.h>
#include <thread>
#include <unistd.h>

#include <sys/ioctl.h>

namespace assent::ctl {
namespace {

// No file that is given to this program comes near it; a device has no end.
constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;

// What the login left in the environment; for the record only, so nothing is verified.
std::string UserName() {
  for (const char* variable : {"USER", "LOGNAME"}) {
    const char* name = std::getenv(variable);
    if (name != nullptr && *name != '\0') return name;
  }
  return "uid-" + std::to_string(geteuid());
}

std::string HostName() {
  char name[256] = {};  // one byte more than is written, so it always ends
  return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

// Keys come as they are pressed, also Ctrl-C, so that the terminal is left as it was.
class TerminalPage final : public Page {
 public:
  TerminalPage() {
    taken_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (taken_) (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    Say("\x1b[?1049h\x1b[?25l");  // another screen, without a cursor
  }
  ~TerminalPage() override {
    Say("\x1b[?25h\x1b[?1049l");
    if (taken_) (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  std::optional<char> ReadKey(std::chrono::milliseconds time) override {
    pollfd in{STDIN_FILENO, POLLIN, 0};
    if (poll(&in, 1, static_cast<int>(time.count())) <= 0) return std::nullopt;
    char key = 0;
    // The terminal is gone: whoever looked has left.
    return read(STDIN_FILENO, &key, 1) == 1 ? key : 'q';
  }
  std::size_t Rows() const override {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
  }

 private:
  static void Say(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  termios before_{};
  bool taken_ = false;
};

}  // namespace

std::unique_ptr<Page> ProcessConsole::TakePage() { return std::make_unique<TerminalPage>(); }

void ProcessConsole::Out(std::string_view text) {
  // Followed output (watch, --watch) is to be seen at once, also through a pipe.
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void ProcessConsole::Err(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

std::optional<std::string> ProcessConsole::ReadLine() {
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

Result<std::string> ProcessConsole::ReadFile(const std::string& path) {
  const bool standard = path == "-";
  std::FILE* file = standard ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    return InvalidArgument("cannot read " + path + ": " + std::strerror(errno));
  }
  std::string content;
  char buffer[65536];
  std::size_t got = 0;
  while (content.size() <= kMaxFileBytes && (got = std::fread(buffer, 1, sizeof buffer, file)) > 0)
    content.append(buffer, got);
  const int error = content.size() > kMaxFileBytes ? EFBIG : std::ferror(file) != 0 ? errno : 0;
  if (!standard) std::fclose(file);
  if (error != 0) return InvalidArgument("cannot read " + path + ": " + std::strerror(error));
  return content;
}

std::int64_t ProcessConsole::NowUnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::chrono::milliseconds ProcessConsole::Uptime() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
}

bool ProcessConsole::Sleep(std::chrono::milliseconds time) {
  std::this_thread::sleep_for(time);  // tidy: allow(sleep) between polls of another process
  return true;
}

bool ProcessConsole::FlushOut() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

Surroundings ProcessSurroundings() {
  Surroundings found;
  found.in_is_terminal = isatty(STDIN_FILENO) == 1;
  found.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  winsize size{};
  if (found.out_is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    found.columns = size.ws_col;
  }
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  found.colors_welcome = (no_color == nullptr || *no_color == '\0') &&
                         (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
  found.who = UserName() + "@" + HostName();
  return found;
}

}  // namespace assent::ctl

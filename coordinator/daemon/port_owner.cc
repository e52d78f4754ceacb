// For one message at a start that fails: it walks all processes, and costs what that costs.

#include "coordinator/daemon/port_owner.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace assent::daemon {
namespace {

namespace fs = std::filesystem;

// Of a socket that listens, in /proc/net/tcp (proc(5)).
constexpr const char* kListening = "0A";

// The socket that listens at the port, as /proc/PID/fd names it: "socket:[4711]".
std::string SocketAt(const std::string& table, std::uint16_t port) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // what the columns are called
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string number, local, remote, state, queues, timer, retries, user, timeout, inode;
    words >> number >> local >> remote >> state >> queues >> timer >> retries >> user >> timeout >>
        inode;
    const std::size_t colon = local.rfind(':');
    if (state != kListening || colon == std::string::npos || inode.empty()) continue;
    if (std::stoul("0" + local.substr(colon + 1), nullptr, 16) == port)
      return "socket:[" + inode + "]";
  }
  return {};
}

bool Has(const fs::path& process, const std::string& socket) {
  std::error_code error;
  for (fs::directory_iterator it(process / "fd", error), end; !error && it != end;
       it.increment(error)) {
    std::error_code unreadable;
    if (fs::read_symlink(it->path(), unreadable) == socket) return true;
  }
  return false;
}

}  // namespace

std::string OwnerOfPort(std::uint16_t port, const std::string& proc) {
  std::string socket = SocketAt(proc + "/net/tcp", port);
  if (socket.empty()) socket = SocketAt(proc + "/net/tcp6", port);
  if (socket.empty()) return {};
  std::error_code error;
  for (fs::directory_iterator it(proc, error), end; !error && it != end; it.increment(error)) {
    const std::string pid = it->path().filename().string();
    const bool is_process =
        std::all_of(pid.begin(), pid.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!is_process || !Has(it->path(), socket)) continue;
    std::ifstream file(it->path() / "comm");
    std::string name;
    std::getline(file, name);
    return "process " + pid + (name.empty() ? "" : " (" + name + ")");
  }
  return {};
}

}  // namespace assent::daemon

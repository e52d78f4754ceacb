#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <unistd.h>

#include <sys/resource.h>

#include "coordinator/metrics/snapshot.h"

namespace assent::metrics {
namespace {

// Seconds since 1970, as the kernel has it.
double BootedAt() {
  std::ifstream file("/proc/stat");
  std::string word;
  double at = 0;
  while (file >> word) {
    if (word == "btime" && file >> at) break;
  }
  return at;
}

}  // namespace

// proc(5): the fields of /proc/self/stat behind the name of the program, which may have spaces.
Process ReadProcess() {
  Process process;
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream rest(line.substr(line.rfind(')') + 1));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  constexpr std::size_t kThird = 3;  // the first of these is the page's third
  const auto number = [&](std::size_t field) {
    return fields.size() > field - kThird ? std::stod(fields[field - kThird]) : 0;
  };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  process.cpu_seconds = (number(14) + number(15)) / ticks;
  process.threads = static_cast<std::uint64_t>(number(20));
  process.started_unix_seconds = BootedAt() + number(22) / ticks;
  process.virtual_bytes = static_cast<std::uint64_t>(number(23));
  process.resident_bytes =
      static_cast<std::uint64_t>(number(24)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::error_code ignored;
  const std::filesystem::directory_iterator files("/proc/self/fd", ignored);
  process.open_files = static_cast<std::uint64_t>(std::distance(begin(files), end(files)));
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) process.max_files = limit.rlim_cur;
  return process;
}

}  // namespace assent::metrics

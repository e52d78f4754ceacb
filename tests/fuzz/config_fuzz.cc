// A configuration file of arbitrary bytes. Either it is refused, with a message for people that has
// no byte of the file which a terminal would obey, or it is understood: sound, and what
// --show-config then prints is a file that means the same.

#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <unistd.h>

#include <sys/mman.h>

#include <assent/status.h>

#include "coordinator/daemon/config.h"

namespace assent::daemon {
namespace {

// A file that has a name and is on no disk.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("config", 0)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    ASSENT_CHECK(fd_ >= 0);
  }
  void Write(std::string_view text) const {
    ASSENT_CHECK(::ftruncate(fd_, 0) == 0);
    ASSENT_CHECK(::pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

// What is printed while it lives.
class Capture {
 public:
  explicit Capture(std::ostream& stream) : stream_(stream), before_(stream.rdbuf(text_.rdbuf())) {}
  ~Capture() { stream_.rdbuf(before_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostream& stream_;
  std::ostringstream text_;
  std::streambuf* before_;
};

ParsedConfig Parse(const MemoryFile& file, std::string& said) {
  const Capture errors(std::cerr);
  const Capture output(std::cout);
  const char* argv[] = {"assentd", "--config", file.path().c_str()};
  const ParsedConfig parsed = ParseConfig(3, argv);
  ASSENT_CHECK(output.text().empty());
  said = errors.text();
  return parsed;
}

std::string Values(const Config& config) {
  Config plain = config;
  plain.sources.clear();
  return ShowConfig(plain);
}

void Try(std::string_view text) {
  static const MemoryFile file;
  file.Write(text);
  std::string said;
  const ParsedConfig first = Parse(file, said);
  for (const char c : said)
    ASSENT_CHECK(c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f) || (c & 0x80) != 0);
  if (first.exit) {
    ASSENT_CHECK(first.exit_code == 2);
    ASSENT_CHECK(said.rfind("assentd: ", 0) == 0 && said.back() == '\n');
    return;
  }
  ASSENT_CHECK(said.empty());
  // Garbage is no empty file.
  for (const char c : text)
    ASSENT_CHECK(static_cast<unsigned char>(c) >= 0x20 || c == '\t' || c == '\r' || c == '\n');
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);  // the mark of some editors
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  ASSENT_CHECK(begin == text.npos || text[begin] == '#' || text.find('=') != text.npos);
  ASSENT_CHECK(first.config.Validate().ok());
  file.Write(ShowConfig(first.config));
  const ParsedConfig second = Parse(file, said);
  ASSENT_CHECK(!second.exit);
  ASSENT_CHECK(Values(second.config) == Values(first.config));
}

}  // namespace
}  // namespace assent::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::daemon::Try({reinterpret_cast<const char*>(data), size});
  return 0;
}

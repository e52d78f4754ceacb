#include "coordinator/daemon/output.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <utility>

#include <sys/socket.h>
#include <sys/stat.h>

#include "coordinator/base/thread_name.h"

namespace assent::daemon {
namespace {

constexpr int kSliceMs = 50;

// A description of our own, so that a write that another process takes the room of does not block,
// and the flag is not seen by those who share the other one. Only of what has no position.
int ReopenNonBlocking(int fd) {
  const std::string name = "/proc/self/fd/" + std::to_string(fd);
  return ::open(name.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

}  // namespace

Output::Output(int fd, OutputOptions options, Notice notice)
    : options_(options), notice_(std::move(notice)), fd_(fd) {
  struct stat what {};
  if (::fstat(fd, &what) == 0) {
    is_socket_ = S_ISSOCK(what.st_mode);
    if (S_ISFIFO(what.st_mode) || S_ISCHR(what.st_mode)) {
      const int own = ReopenNonBlocking(fd);
      own_fd_ = own >= 0;
      if (own_fd_) fd_ = own;
    }
  }
  thread_ = std::thread([this] { Run(); });
}

Output::~Output() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    give_up_at_ = std::chrono::steady_clock::now() + options_.patience;
  }
  changed_.NotifyAll();
  thread_.join();
  if (own_fd_) ::close(fd_);
}

void Output::Put(std::string_view line) {
  {
    const MutexLock lock(mutex_);
    const bool room = lines_.size() < options_.max_queued_lines_count &&
                      queued_bytes_ + line.size() <= options_.max_queued_line_bytes;
    if (!room) {
      ++dropped_;
      return;
    }
    TakeNotice();
    Queue(std::string(line));
  }
  changed_.NotifyAll();
}

void Output::Flush() {
  const auto until = std::chrono::steady_clock::now() + options_.patience;
  const MutexLock lock(mutex_);
  while ((!lines_.empty() || writing_) && changed_.WaitUntil(mutex_, until)) {
  }
}

void Output::TakeNotice() {
  if (dropped_ > 0) Queue(notice_(std::exchange(dropped_, 0)));
}

void Output::Queue(std::string line) {
  queued_bytes_ += line.size();
  lines_.push_back(std::move(line));
}

void Output::Run() {
  base::NameThisThread("assent-output");
  MutexLock lock(mutex_);
  for (;;) {
    while (!stopping_ && lines_.empty()) changed_.Wait(mutex_);
    if (lines_.empty()) TakeNotice();
    if (lines_.empty()) return;
    const std::string line = std::move(lines_.front());
    lines_.pop_front();
    writing_ = true;
    lock.Unlock();
    const bool written = Write(line);
    lock.Lock();
    writing_ = false;
    queued_bytes_ -= line.size();
    if (lines_.empty()) TakeNotice();
    if (!written && stopping_) return;
    changed_.NotifyAll();
  }
}

// Waits for room, in slices, so that the end is noticed. False: nobody is there to read, or nobody
// has been for long enough.
bool Output::Write(std::string_view text) {
  while (!text.empty()) {
    pollfd room{fd_, POLLOUT, 0};
    if (::poll(&room, 1, kSliceMs) <= 0) {
      const MutexLock lock(mutex_);
      if (stopping_ && std::chrono::steady_clock::now() >= give_up_at_) return false;
      continue;
    }
    // What poll promises for a pipe is room for so much.
    const std::size_t size = std::min<std::size_t>(text.size(), PIPE_BUF);
    const ssize_t written = is_socket_ ? ::send(fd_, text.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                       : ::write(fd_, text.data(), size);
    if (written < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace assent::daemon

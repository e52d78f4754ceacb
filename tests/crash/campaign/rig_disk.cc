// The disk below the coordinator: a small file system that can be made full, and strace for single
// calls that fail.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <sys/mount.h>
#include <sys/statvfs.h>

#include "tests/crash/campaign/rig.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kDiskBytes = 2LL << 30;
// Of a process that is about to end, and of the bookkeeping around it.
constexpr milliseconds kDiskAftermath{5000};
constexpr milliseconds kLookEvery{100};  // at what strace has written

}  // namespace

void Rig::MakeDisk() {
  const std::string data = folder_ + "/coordinator";
  std::filesystem::create_directories(data);
  if (options_.without.count("disk-full") != 0 || options_.without.count("disk") != 0) {
    disk_refusal_ = "as told";
  } else if (options_.plant == "log-restored") {
    disk_refusal_ = "the log is to be replaced";
  } else if (mount("tmpfs", data.c_str(), "tmpfs", 0, "size=2g") != 0) {
    disk_refusal_ = std::string("cannot mount a tmpfs: ") + std::strerror(errno);
    findings_.Add("the disk cannot be filled here, without a file system of its own (" +
                  disk_refusal_ + "): leave that out with --without disk-full, or run as root");
  } else {
    own_disk_ = true;
  }
}

void Rig::UnmakeDisk() {
  if (own_disk_) (void)umount2((folder_ + "/coordinator").c_str(), MNT_DETACH);
}

bool Rig::ResizeDisk(std::int64_t bytes) {
  const std::string data = folder_ + "/coordinator";
  const std::string size = "size=" + std::to_string(bytes);
  return mount("tmpfs", data.c_str(), "tmpfs", MS_REMOUNT, size.c_str()) == 0;
}

bool Rig::FillDisk(std::int64_t slack_bytes, milliseconds duration) {
  if (!own_disk_ || disk_full_) return false;
  for (int tries = 0; tries < 5 && !disk_full_; ++tries) {  // it may grow between the two calls
    struct statvfs now {};
    const std::string data = folder_ + "/coordinator";
    if (statvfs(data.c_str(), &now) != 0) return false;
    const auto used = static_cast<std::int64_t>((now.f_blocks - now.f_bfree) * now.f_frsize);
    disk_full_ = ResizeDisk(used + slack_bytes + 4096);
  }
  if (!disk_full_) return false;
  disk_full_until_ = Clock::now() + duration;
  ++tally_["disk full"];
  return true;
}

void Rig::FreeDisk() {
  if (!std::exchange(disk_full_, false)) return;
  if (!ResizeDisk(kDiskBytes)) findings_.Add("the rig cannot make its own disk larger again");
  disk_trouble_end_ = Clock::now() + kDiskAftermath;
}

bool Rig::Inject(const std::string& call, const std::string& error, int nth, int times) {
  if (injection_ || coordinator().state != Actor::State::kUp) return false;
  Injection injection;
  injection.what = error + " on " + call;
  injection.must_exit = times == 0;
  injection.until = Clock::now() + seconds(8);
  injection.log = folder_ + "/strace-" + std::to_string(++strikes_) + ".log";
  std::string when = std::to_string(nth);
  when += times == 0 ? "+" : ".." + std::to_string(nth + times - 1);
  injection.strace = std::make_unique<test::Process>(test::ProcessOptions{
      .argv = {"strace", "-f", "-qq", "-o", injection.log, "-e", "trace=" + call, "-e",
               "inject=" + call + ":error=" + error + ":when=" + when, "-p",
               std::to_string(coordinator().process->pid())},
      .output_file = folder_ + "/strace.log"});
  if (!injection.strace->Start().ok()) return false;
  injection_ = std::move(injection);
  return true;
}

bool Rig::Injected() const {
  std::ifstream file(injection_->log);
  for (std::string line; std::getline(file, line);) {
    if (line.find("(INJECTED)") != std::string::npos) return true;
  }
  return false;
}

void Rig::TickInjection(Clock::time_point now) {
  if (!injection_) return;
  Injection& injection = *injection_;
  const bool traced = injection.strace->Running();
  if (!injection.struck && (!traced || now >= injection.next_look)) {
    injection.next_look = now + kLookEvery;
    if (Injected()) {
      injection.struck = now;
      injection.until = now + (injection.must_exit ? seconds(10) : seconds(2));
      ++tally_["disk " + injection.what];
    }
  }
  if (!traced) {  // its coordinator has ended, one way or the other
    // A process that is just ending may not be traced either: three times running is no accident.
    const std::string said = injection.strace->Output();
    const bool refused = said.find("not permitted") != std::string::npos ||
                         said.find("cannot be executed") != std::string::npos;
    refusals_ = refused ? refusals_ + 1 : 0;
    if (refusals_ == 3) {
      findings_.Add(
          "disk errors cannot be injected here (leave them out with --without eio-sync --without "
          "eio-write --without enospc-write): " +
          said);
    }
    return EndInjection();
  }
  if (now < injection.until || coordinator().state == Actor::State::kStopped) return;
  if (injection.must_exit && injection.struck)
    findings_.Add("assentd goes on, 10 s after " + injection.what + " (see " + injection.log + ")");
  EndInjection();
}

void Rig::EndInjection() {
  if (!injection_) return;
  if (!injection_->struck) ++tally_["strace without effect"];
  const bool struck = injection_->struck.has_value();
  injection_->strace->Stop(seconds(5));
  if (!struck) std::filesystem::remove(injection_->log);
  injection_.reset();
  disk_trouble_end_ = Clock::now() + kDiskAftermath;
}

void Rig::CopyOut() {
  if (!own_disk_) return;
  std::error_code error;
  std::filesystem::copy(folder_ + "/coordinator", folder_ + "/coordinator-copy",
                        std::filesystem::copy_options::recursive, error);
}

}  // namespace assent::crash

#pragma once

// Disk space set aside for bad days: a file of the given size beside the log. Released when the
// disk is full, it lets what has begun come to its end; taken again, it proves that there is space.

#include <cstdint>
#include <string>

namespace assent::log {

class DiskReserve {
 public:
  // `bytes` 0: there is no reserve, and Take succeeds without proving anything.
  DiskReserve(std::string path, std::uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}

  // Allocates the whole file, or what is missing of it. False if the disk has no space for it (then
  // it holds nothing).
  bool Take();
  // Gives the space back.
  void Release();
  bool held() const { return held_; }

 private:
  std::string path_;
  std::uint64_t bytes_;
  bool held_ = false;
};

}  // namespace assent::log

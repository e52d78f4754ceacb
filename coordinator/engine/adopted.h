#pragma once

// Unfinished rows of the log that no shard has taken up yet. After a restart there may be a
// million: they are kept as the bytes that were read, one after the other, and become transactions
// slice by slice, or when somebody asks for one. So the daemon is ready when the log has been read
// and checked, and what is not needed at once does not delay what is.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <sys/mman.h>

#include <assent/status.h>

#include "coordinator/log/log.h"

namespace assent::engine {

class Adopted {
 public:
  class Row {
   public:
    std::uint64_t serial() const { return serial_; }
    std::uint64_t version() const { return version_; }
    std::string_view gid() const { return {bytes_, gid_bytes_}; }
    std::string_view spec() const { return {bytes_ + gid_bytes_, spec_bytes_}; }
    std::string_view state() const { return {bytes_ + gid_bytes_ + spec_bytes_, state_bytes_}; }

   private:
    friend class Adopted;
    std::uint64_t serial_ = 0;
    std::uint64_t version_ = 0;
    const char* bytes_ = nullptr;
    std::uint32_t gid_bytes_ = 0;
    std::uint32_t spec_bytes_ = 0;
    std::uint32_t state_bytes_ = 0;
    bool taken_ = false;
  };

  // In the order of the log.
  void Add(const log::LiveRow& from) {
    Row& row = rows_.emplace_back();
    row.serial_ = from.serial;
    row.version_ = from.version;
    row.gid_bytes_ = static_cast<std::uint32_t>(from.gid.size());
    row.spec_bytes_ = static_cast<std::uint32_t>(from.spec.size());
    row.state_bytes_ = static_cast<std::uint32_t>(from.state.size());
    char* bytes = Room(from.gid.size() + from.spec.size() + from.state.size());
    row.bytes_ = bytes;
    for (const std::string* text : {&from.gid, &from.spec, &from.state})
      bytes = std::copy(text->begin(), text->end(), bytes);
    ++left_;
  }
  // After the last Add. `visit` gets each row whose gid an older one has; it may Take it, at the
  // end.
  template <typename Visit>
  void Index(const Visit& visit) {
    by_gid_.reserve(rows_.size());
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (!by_gid_.emplace(rows_[i].gid(), i).second) visit(rows_[i]);
    }
  }

  std::size_t left() const { return left_; }
  // Rows that are still here, by name, and the oldest one; nullptr if there is none.
  Row* Find(std::string_view gid) {
    if (left_ == 0) return nullptr;
    const auto found = by_gid_.find(gid);
    return found == by_gid_.end() || rows_[found->second].taken_ ? nullptr : &rows_[found->second];
  }
  Row* Oldest() {
    if (left_ == 0) return nullptr;
    while (rows_[oldest_].taken_) ++oldest_;
    return &rows_[oldest_];
  }
  // The one after `serial`, and the one before it (0: the last one), in the order of the log;
  // nullptr if there is none.
  const Row* After(std::uint64_t serial) const {
    for (std::size_t i = std::max(oldest_, PlaceOf(serial + 1)); i < rows_.size(); ++i) {
      if (!rows_[i].taken_) return &rows_[i];
    }
    return nullptr;
  }
  const Row* Before(std::uint64_t serial) const {
    for (std::size_t i = serial == 0 ? rows_.size() : PlaceOf(serial); i > oldest_; --i) {
      if (!rows_[i - 1].taken_) return &rows_[i - 1];
    }
    return nullptr;
  }
  // Its transaction has been made. With the last one everything goes; `row` is not to be used
  // afterwards.
  void Take(Row& row) {
    row.taken_ = true;
    if (--left_ == 0) *this = Adopted();
  }

 private:
  // Of the first row that has this serial or a later one.
  std::size_t PlaceOf(std::uint64_t serial) const {
    const auto found =
        std::lower_bound(rows_.begin(), rows_.end(), serial,
                         [](const Row& row, std::uint64_t wanted) { return row.serial_ < wanted; });
    return static_cast<std::size_t>(found - rows_.begin());
  }

  struct Free {
    void operator()(char* chunk) const { std::free(chunk); }
  };

  // Chunks grow with what there is, up to a huge page: most logs have a few rows, and a shard that
  // starts should not touch megabytes for them.
  char* Room(std::size_t bytes) {
    if (bytes > room_) {
      chunk_bytes_ = std::clamp(4 * chunk_bytes_, kLeastChunkBytes, kHugePageBytes);
      room_ = (bytes + chunk_bytes_ - 1) / chunk_bytes_ * chunk_bytes_;
      chunks_.emplace_back(static_cast<char*>(std::aligned_alloc(chunk_bytes_, room_)));
      free_ = chunks_.back().get();
      ASSENT_CHECK(free_ != nullptr);
      if (chunk_bytes_ == kHugePageBytes) (void)madvise(free_, room_, MADV_HUGEPAGE);
    }
    char* taken = free_;
    free_ += bytes;
    room_ -= bytes;
    return taken;
  }

  static constexpr std::size_t kLeastChunkBytes = 4096;
  static constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

  std::vector<std::unique_ptr<char, Free>> chunks_;
  std::size_t chunk_bytes_ = 0;
  char* free_ = nullptr;
  std::size_t room_ = 0;
  std::deque<Row> rows_;
  absl::flat_hash_map<std::string_view, std::size_t> by_gid_;
  std::size_t oldest_ = 0;
  std::size_t left_ = 0;
};

}  // namespace assent::engine

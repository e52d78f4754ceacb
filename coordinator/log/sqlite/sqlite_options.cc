#include "coordinator/log/sqlite/sqlite_options.h"

namespace assent::log {
namespace {

Status Bad(const char* field, const char* what) {
  return InvalidArgument(std::string("log option ") + field + ": " + what);
}

}  // namespace

Status SqliteOptions::Validate() const {
  using std::chrono::milliseconds;
  if (path.empty()) return Bad("path", "must name a file");
  if (path.find('\0') != std::string::npos) return Bad("path", "must not hold a zero byte");
  if (retention_age < milliseconds(0)) return Bad("retention_age", "must not be negative");
  if (retention_bytes != 0 && retention_bytes < (1 << 20)) {
    return Bad("retention_bytes", "must be at least 1 MiB, or 0 for no limit");
  }
  if (retention_interval <= milliseconds(0)) return Bad("retention_interval", "must be positive");
  if (space_probe_interval <= milliseconds(0))
    return Bad("space_probe_interval", "must be positive");
  if (max_queued_entries == 0) return Bad("max_queued_entries", "must be positive");
  if (max_queued_bytes == 0) return Bad("max_queued_bytes", "must be positive");
  if (max_queued_reads == 0) return Bad("max_queued_reads", "must be positive");
  if (max_group_entries == 0) return Bad("max_group_entries", "must be positive");
  if (max_group_bytes == 0) return Bad("max_group_bytes", "must be positive");
  if (checkpoint_pages < 1) return Bad("checkpoint_pages", "must be positive");
  constexpr std::uint64_t kPageBytes = 4096;
  if (reserve_bytes != 0 &&
      reserve_bytes < 2 * kPageBytes * static_cast<std::uint64_t>(checkpoint_pages)) {
    return Bad("reserve_bytes",
               "must be 0, or at least 8 KiB for each of checkpoint_pages: moving the WAL into "
               "the database may take as much");
  }
  if (cache_bytes < (1 << 20)) return Bad("cache_bytes", "must be at least 1 MiB");
  return OkStatus();
}

}  // namespace assent::log

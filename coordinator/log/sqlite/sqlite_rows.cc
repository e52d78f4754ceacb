#include "coordinator/log/sqlite/sqlite_rows.h"

#include "coordinator/log/crc32c.h"

namespace assent::log {
std::uint32_t MetaChecksum(const Meta& meta) {
  return ExtendByNumbers(Crc32c("meta"), {meta.format, meta.coordinator_id, meta.epoch,
                                          meta.next_serial, meta.commit_seq, meta.live_rows,
                                          meta.live_xor, meta.live_versions, meta.finished_rows});
}

std::uint32_t LifeChecksum(std::uint64_t epoch, std::uint64_t commit_seq) {
  return ExtendByNumbers(Crc32c("life"), {epoch, commit_seq});
}

std::uint32_t AgeChecksum(std::uint64_t ran_ms, std::uint64_t commit_seq, std::int64_t unix_ms) {
  return ExtendByNumbers(Crc32c("age"), {ran_ms, commit_seq, static_cast<std::uint64_t>(unix_ms)});
}

std::uint32_t MovedChecksum(bool done, std::string_view target) {
  return ExtendByText(ExtendByNumbers(Crc32c("moved"), {std::uint64_t{done}}), target);
}

std::uint32_t SpecChecksum(std::uint64_t serial, std::string_view gid, std::string_view spec) {
  return ExtendByText(ExtendByText(ExtendByNumbers(Crc32c("spec"), {serial}), gid), spec);
}

std::uint32_t StateChecksum(std::uint64_t serial, std::uint64_t version, std::uint64_t commit_seq,
                            std::string_view state) {
  return ExtendByText(ExtendByNumbers(Crc32c("state"), {serial, version, commit_seq}), state);
}

std::uint32_t FinishedChecksum(std::uint64_t serial, std::uint64_t commit_seq, std::uint8_t outcome,
                               std::int64_t finished_unix_ms, std::string_view gid,
                               std::string_view spec, std::string_view state) {
  const std::uint32_t crc =
      ExtendByNumbers(Crc32c("finished"),
                      {serial, commit_seq, outcome, static_cast<std::uint64_t>(finished_unix_ms)});
  return ExtendByText(ExtendByText(ExtendByText(crc, gid), spec), state);
}

}  // namespace assent::log

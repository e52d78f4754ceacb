#pragma once

// The log's tables, indices and statements (coordinator/log/FORMAT.md) with nothing around them: no
// checksums, no compare-and-set, no retention. What SQLite and the disk take for the same rows.

#include <cstdint>
#include <string>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace assent::bench {

// One thread at a time. Every failure ends the process: a floor with a hole is none.
class FloorStore {
 public:
  explicit FloorStore(const std::string& path);
  ~FloorStore();
  FloorStore(const FloorStore&) = delete;
  FloorStore& operator=(const FloorStore&) = delete;

  void Begin();
  void InsertLive(std::uint64_t serial, const std::string& gid, const std::string& spec,
                  const std::string& state);
  void UpdateLive(std::uint64_t serial, const std::string& state);
  // Moves the row: one delete, one insert.
  void Finish(std::uint64_t serial, const std::string& gid, const std::string& spec,
              const std::string& state);
  // The meta row, then COMMIT: durable on return.
  void Commit();
  // As the log does after each group, if enough has gathered in the WAL.
  void Checkpoint();

 private:
  sqlite3_stmt* Prepare(const char* sql);
  void Run(sqlite3_stmt* statement);
  void Check(int code, const char* what);

  sqlite3* db_ = nullptr;
  std::vector<sqlite3_stmt*> statements_;
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* insert_live_ = nullptr;
  sqlite3_stmt* update_live_ = nullptr;
  sqlite3_stmt* delete_live_ = nullptr;
  sqlite3_stmt* insert_finished_ = nullptr;
  sqlite3_stmt* meta_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  std::int64_t commit_seq_ = 0;
  int wal_pages_ = 0;
};

}  // namespace assent::bench

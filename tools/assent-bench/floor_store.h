#pragma once

// Where the floor writes the rows of its transactions, group by group.
//   SQLite      the log's tables, indices and statements (coordinator/log/FORMAT.md) with nothing
//               around them: no checksums, no compare-and-set, no retention. What SQLite and the
//               disk take for the same rows
//   PostgreSQL  the same groups through the same lane as assentd's, fence and all: what is left out
//               is what is above it

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace assent::bench {

// One thread at a time. Every failure ends the process: a floor with a hole is none.
class FloorStore {
 public:
  virtual ~FloorStore() = default;

  virtual void Begin() = 0;
  virtual void InsertLive(std::uint64_t serial, const std::string& gid, const std::string& spec,
                          const std::string& state) = 0;
  virtual void UpdateLive(std::uint64_t serial, const std::string& gid,
                          const std::string& state) = 0;
  virtual void Finish(std::uint64_t serial, const std::string& gid, const std::string& spec,
                      const std::string& state) = 0;
  // Durable on return.
  virtual void Commit() = 0;
  // As the log does after each group.
  virtual void Upkeep() {}
};

// `log`: postgresql://…
std::unique_ptr<FloorStore> OpenPostgresFloor(const std::string& log);

class SqliteFloor final : public FloorStore {
 public:
  explicit SqliteFloor(const std::string& path);
  ~SqliteFloor() override;
  SqliteFloor(const SqliteFloor&) = delete;
  SqliteFloor& operator=(const SqliteFloor&) = delete;

  void Begin() override;
  void InsertLive(std::uint64_t serial, const std::string& gid, const std::string& spec,
                  const std::string& state) override;
  void UpdateLive(std::uint64_t serial, const std::string& gid, const std::string& state) override;
  // Moves the row: one delete, one insert.
  void Finish(std::uint64_t serial, const std::string& gid, const std::string& spec,
              const std::string& state) override;
  // The meta row, then COMMIT.
  void Commit() override;
  // A checkpoint, if enough has gathered in the WAL.
  void Upkeep() override;

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

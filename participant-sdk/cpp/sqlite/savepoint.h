#pragma once

// A savepoint within the group's transaction. Undone unless kept. They nest: each ends before the
// one around it.

#include <assent/status.h>

#include "participant-sdk/cpp/sqlite/connection.h"

namespace assent::sqlite::internal {

class Savepoint {
 public:
  explicit Savepoint(Connection& connection) : connection_(connection) {
    status_ = connection_.RunOne("SAVEPOINT assent_op");
  }
  ~Savepoint() {
    // Nothing to undo when SQLite has rolled back everything by itself.
    if (!status_.ok() || !open_ || connection_.idle()) return;
    if (Rewind().ok()) (void)Keep();
  }
  Savepoint(const Savepoint&) = delete;
  Savepoint& operator=(const Savepoint&) = delete;

  // Whether it could be set.
  const Status& status() const { return status_; }
  // Takes back what was written since, and stays open.
  Status Rewind() { return connection_.RunOne("ROLLBACK TO assent_op"); }
  Status Keep() {
    open_ = false;
    return connection_.RunOne("RELEASE assent_op");
  }

 private:
  Connection& connection_;
  Status status_;
  bool open_ = true;
};

}  // namespace assent::sqlite::internal

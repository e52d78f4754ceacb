#pragma once

// A database of PostgreSQL that goes with its owner.

#include <string>

#include <sys/types.h>

#include "tools/assent-bench/child.h"

namespace assent::bench {

class Database {
 public:
  // Beside the one of `url`. Ends the program if it cannot be made. `commit_delay_ms`: each flush
  // of the server's log waits so much longer, and whoever commits meanwhile goes with it. Only a
  // superuser may say so.
  Database(const std::string& url, double commit_delay_ms);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  const std::string& url() const { return url_; }
  // Whether the server's processes are on this machine, and visible.
  bool is_local() const { return postmaster_ > 0; }
  // Processor time of all of them, whatever database they serve.
  Usage ServerUsage() const;

 private:
  const std::string server_;
  std::string name_;
  std::string url_;
  pid_t postmaster_ = 0;
};

}  // namespace assent::bench

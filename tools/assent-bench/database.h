#pragma once

// A database of PostgreSQL that goes with its owner.

#include <string>

namespace assent::bench {

class Database {
 public:
  // Beside the one of `url`. Ends the program if it cannot be made.
  explicit Database(const std::string& url);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  const std::string& url() const { return url_; }

 private:
  const std::string server_;
  std::string name_;
  std::string url_;
};

}  // namespace assent::bench

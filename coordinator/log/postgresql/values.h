#pragma once

// Values on their way to the server and back, in its binary format.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <libpq-fe.h>

namespace assent::log {

// Text within a statement, whatever the server takes a backslash for.
std::string Quoted(std::string_view text);

// The values of one column of many rows, as one parameter.
class Column {
 public:
  void Add(std::int64_t number);  // int8[]
  void Add(std::uint64_t number) { Add(static_cast<std::int64_t>(number)); }
  void Add(std::string_view bytes);  // text[] or bytea[]
  std::size_t size() const { return count_; }
  void Clear();

 private:
  friend class Params;
  std::string Encoded(std::uint32_t type) const;
  std::string elements_;
  std::uint32_t count_ = 0;
};

// The parameters of one statement, in order. What type each has the statement says, by a cast.
class Params {
 public:
  Params& Int(std::int64_t number);
  Params& Int(std::uint64_t number) { return Int(static_cast<std::int64_t>(number)); }
  Params& Bytes(std::string_view bytes);  // text or bytea
  Params& Ints(const Column& column);     // int8[]
  Params& Texts(const Column& column);    // text[]
  Params& Blobs(const Column& column);    // bytea[]

 private:
  friend class Connection;
  std::vector<std::string> values_;
};

// What a statement returned.
class Rows {
 public:
  Rows() = default;
  explicit Rows(PGresult* result) : result_(result) {}

  int size() const { return result_ == nullptr ? 0 : PQntuples(result_.get()); }
  bool IsNull(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  // A number or a bool, in either format. 0 when null.
  std::int64_t Int(int row, int column) const;
  std::uint64_t Unsigned(int row, int column) const {
    return static_cast<std::uint64_t>(Int(row, column));
  }
  // text or bytea. Lives as long as this.
  std::string_view Bytes(int row, int column) const;
  std::string Text(int row, int column) const { return std::string(Bytes(row, column)); }
  // How many rows a statement that returns none has written.
  std::int64_t changed() const;
  const PGresult* raw() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

}  // namespace assent::log

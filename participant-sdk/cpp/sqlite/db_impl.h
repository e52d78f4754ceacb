#pragma once

// What stands behind the public Db: the connection, and the first failure of the operation that
// uses it.

#include <assent/sqlite.h>

#include "participant-sdk/cpp/sqlite/claims.h"
#include "participant-sdk/cpp/sqlite/connection.h"
#include "participant-sdk/cpp/sqlite/schema.h"

namespace assent::sqlite {

struct Db::Impl {
  // `schema` may be null: then Claim does nothing (readers).
  Impl(internal::Connection& the_connection, internal::Schema* the_schema)
      : connection(the_connection), schema(the_schema), db(this) {}
  static Impl& Of(Db& db) { return *db.impl_; }
  // Keeps the first failure.
  void Fail(Status failure) {
    if (status.ok()) status = std::move(failure);
  }

  internal::Connection& connection;
  internal::Schema* schema;
  Status status;
  internal::ClaimSet claims;  // asked for by Db::Claim
  std::int64_t changes = 0;
  bool recorded = false;   // what the handler writes is taken back, and applied or undone later
  bool has_stray = false;  // the handle was handed out: statements may have been left running
  Db db;
};

}  // namespace assent::sqlite

#include "participant-sdk/cpp/postgresql/task.h"

namespace assent::postgresql::internal {

const char* Context::begin() const {
  switch (options.isolation) {
    case Isolation::kReadCommitted: break;
    case Isolation::kRepeatableRead: return "BEGIN ISOLATION LEVEL REPEATABLE READ";
    case Isolation::kSerializable: return "BEGIN ISOLATION LEVEL SERIALIZABLE";
  }
  return "BEGIN ISOLATION LEVEL READ COMMITTED";
}

}  // namespace assent::postgresql::internal

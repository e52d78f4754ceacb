#include "coordinator/log/postgresql/verdict.h"

namespace assent::log {

Verdict VerdictOf(std::string_view sqlstate) {
  const std::string_view kind = sqlstate.substr(0, 2);
  if (sqlstate == "22012") return Verdict::kCondition;
  if (sqlstate == "23505") return Verdict::kDuplicate;
  if (sqlstate == "40001" || sqlstate == "40P01") return Verdict::kAgain;
  if (sqlstate == "55P03") return Verdict::kLocked;
  if (kind == "53" || kind == "54") return Verdict::kNoSpace;
  // 57: somebody cancels or ends us. 40003: it does not know itself. 25006: it is a standby now.
  // 58, XX: it cannot read, or found a fault in itself; what it had done by then it may have kept.
  if (kind.empty() || kind == "08" || kind == "57" || kind == "58" || kind == "XX" ||
      kind == "01" || sqlstate == "40003" || sqlstate == "25006") {
    return Verdict::kUnknown;
  }
  return Verdict::kRefused;
}

}  // namespace assent::log

#pragma once

// Being alone with a log in PostgreSQL. The look at who lives is a courtesy to people; what makes
// it safe is the fence, which needs no eyes: from then on nobody who was there before writes.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/postgresql/connection.h"

namespace assent::log {

using Tell = std::function<void(const std::string& words)>;

// Members that have not left are watched for so long: those that were killed are told from those
// that live by their beats. One that beats more rarely (nobody writes down its lease), or that is
// stopped, looks like one that was killed. kFailedPrecondition: one lives, and is named. Else those
// that have not left: "node a at host:7400".
Result<std::vector<std::string>> CheckNobodyLives(Connection& connection,
                                                  std::chrono::milliseconds patience,
                                                  const Tell& on_progress);

// In one local transaction the log's row is changed (`log_set`: what follows SET), every member
// that has not left is ended and its lanes are fenced, and `then` is done. It waits for groups that
// are under way, and ends the session of one whose rest does not come. Who has read the log's row
// before and joins now reads it again.
//   kFailedPrecondition  nobody works on this log any more, as somebody else has seen to meanwhile
//   kUnknownOutcome      the answer was lost
Status EndEverybody(Connection& connection, const std::string& log_set, const std::string& then,
                    const std::string& what);

// Once they are: for people.
void TellFenced(const std::vector<std::string>& members, const Tell& on_progress);

}  // namespace assent::log

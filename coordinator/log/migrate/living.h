#pragma once

// Whether somebody works on a log in PostgreSQL, asked by whoever must be alone with it.

#include <chrono>
#include <functional>
#include <string>

#include <assent/status.h>

#include "coordinator/log/postgresql/connection.h"

namespace assent::log {

// Members that have not left are watched for so long: those that were killed are told from those
// that live by their beats. kFailedPrecondition: one lives, and is named.
Status CheckNobodyLives(Connection& connection, std::chrono::milliseconds patience,
                        const std::function<void(const std::string& words)>& on_progress);

}  // namespace assent::log

#pragma once

#include "tools/assent-relay/options.h"

namespace assent::relay {

// Each prints what it has to say; errors to stderr.
Exit Run(const std::string& database, const RunCommand& command);
Exit List(const std::string& database, const ListCommand& command);
Exit Apply(const std::string& database, const ApplyCommand& command);
Exit PrintTable(const TableCommand& command);

}  // namespace assent::relay

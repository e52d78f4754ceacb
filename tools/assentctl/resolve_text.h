#pragma once

#include <string>

#include "assent/v1/types.pb.h"

namespace assent::ctl {

// What it will mean, in this branch's protocol and against this transaction's decision, to declare
// the branch committed or aborted by hand. A few lines for the person who is about to do it. Pure.
std::string ResolveMeaning(const v1::Transaction& transaction, const v1::Branch& branch,
                           v1::Decision resolution);

}  // namespace assent::ctl

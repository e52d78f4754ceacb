#pragma once

// Causes as rows with a number. Pure: messages in, text out.

#include <string>

#include "assent/v1/transaction.pb.h"
#include "tools/assentctl/alike.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// The same filters, under the same numbers.
v1::ListCausesRequest CausesRequestOf(const v1::ListRequest& request);

// In the order given by the coordinator: what somebody should look at first.
std::string RenderCauses(const v1::ListCausesReply& causes, const Style& style,
                         const Alikes& alikes = {});
// Somebody waits for a service of which nobody is there: whom it may be like is worth asking.
bool HasAbsent(const v1::ListCausesReply& causes);
// How many there are, and how a row opens.
std::string CausesFooter(const v1::ListCausesReply& causes);

}  // namespace assent::ctl

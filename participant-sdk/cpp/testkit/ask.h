#pragma once

// What the test kit is made of: one call to a resource, waited for.

#include <string>

#include <assent/call.h>
#include <assent/resource.h>
#include <assent/status.h>

namespace assent::testkit {

// kDeadlineExceeded: the responder was not called within half a minute.
Result<Reply> AskOnce(Resource& resource, const Call& call);

// "TRY of branch 1 of g1"
std::string Shown(const Call& call);
// "done 'x'", "refused: why"
std::string Shown(const Reply& reply);

}  // namespace assent::testkit

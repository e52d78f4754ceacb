#pragma once

// Who takes part, as the coordinator lists it page by page.

#include "tools/assentctl/alike.h"
#include "tools/assentctl/session.h"

namespace assent::ctl {

Result<v1::ListParticipantsReply> FetchParticipants(const v1::ListParticipantsRequest& request,
                                                    Timeout timeout, Session& session);

// How long a hint that nobody asked for may keep people waiting.
inline constexpr std::chrono::milliseconds kHintPatience{1'000};
// Best effort: without an answer within kHintPatience, of nobody.
Alikes FetchAlikes(Session& session);

}  // namespace assent::ctl

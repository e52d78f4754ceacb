#pragma once

// The coordinator itself: its participants, its counts, its health. Pure: messages in, text out.

#include <string>

#include "assent/v1/transaction.pb.h"
#include "tools/assentctl/alike.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// One line per service; wide: one per instance, with what is queued and waits for its service.
std::string RenderParticipants(const v1::ListParticipantsReply& reply, const Style& style,
                               const Alikes& alikes = {});

std::string RenderStats(const v1::ServerInfo& info, const Style& style);

// "assentd 0.1.0 at 127.0.0.1:7400 takes transactions (up 3 h, coordinator 1, epoch 4)".
std::string RenderHealth(const v1::ServerInfo& info, const std::string& endpoint,
                         const Style& style);

}  // namespace assent::ctl

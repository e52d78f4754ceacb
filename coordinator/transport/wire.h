#pragma once

// Between the transport's plain values and assent.v1 messages.

#include <cstdint>
#include <string>

#include "assent/v1/participant.pb.h"
#include "coordinator/transport/hello.h"
#include "coordinator/transport/transport.h"

namespace assent::transport {

// What is handed in by && gives its bytes away.
void ToWire(Command&& command, std::uint64_t command_id, std::uint32_t coordinator_id,
            v1::BranchCommand& out);
SessionReply FromWire(v1::BranchReply&& reply);
// A protocol that is none of ours becomes Protocol{}.
SessionHello FromWire(const v1::Hello& hello);
OutcomeQuestion FromWire(const v1::OutcomeQuery& query);
void ToWire(const OutcomeAnswer& answer, v1::OutcomeAnswer& out);

// What did not parse, with the bytes of its texts that are no UTF-8 made '?'. A reply whose reason
// had some says so in it. False: it is no such message at all.
bool ParseMended(std::string bytes, v1::ParticipantFrame& out);
bool ParseMended(std::string bytes, v1::BranchReply& out);

}  // namespace assent::transport

#pragma once

// An overview of what a coordinator does, on one page. Pure: messages in, text out.

#include <cstdint>
#include <string>

#include "assent/v1/transaction.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// What was there at a moment.
struct Sighting {
  std::int64_t at_unix_ms = 0;
  v1::ServerInfo info;
  v1::ListCausesReply causes;
  v1::ListParticipantsReply participants;
};

// Rates are between the two. `rows`: of the terminal; 0: as many as there are.
std::string RenderTop(const Sighting& before, const Sighting& now, const std::string& endpoint,
                      const Style& style, std::size_t rows);

}  // namespace assent::ctl

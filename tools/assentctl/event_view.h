#pragma once

// What happens, as lines; and where in it somebody stands. Pure.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "assent/v1/events.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// How far each coordinator's events have been told, by its epoch.
using Positions = std::map<std::uint64_t, std::uint64_t>;

// "7.120", "9.44,7.120". INVALID_ARGUMENT: what it takes.
Result<Positions> ReadPositions(std::string_view text);
// That of `first`, if there is one, before the others: what --after takes.
std::string WritePositions(const Positions& positions, std::uint64_t first = 0);

// One event; of several coordinators its sequence says where all of them stand. For jsonl a line,
// for yaml a document, of id the gid, if it has one.
std::string RenderEvent(const v1::Event& event, const Style& style);
// What is kept: a table, or one document.
std::string RenderEvents(const std::vector<v1::Event>& events, const std::string& position,
                         const Style& style);

}  // namespace assent::ctl

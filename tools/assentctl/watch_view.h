#pragma once

// What changed between two sightings of a transaction, one line each. Pure.

#include <string>

#include "assent/v1/types.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// `before` null: the first sighting, told in one line. Empty when nothing worth a line changed.
// Changes that the coordinator merged are told as one step. Lines carry the time of the change
// where the coordinator says it, else the style's now.
std::string RenderChange(const v1::Transaction* before, const v1::Transaction& after,
                         const Style& style);

}  // namespace assent::ctl

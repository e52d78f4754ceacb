#pragma once

// When everything has come to rest: do the books, the answers and the coordinator's own words
// agree?

#include <string>
#include <vector>

#include "tests/crash/campaign/campaign.h"
#include "tests/crash/campaign/journal.h"
#include "tests/crash/campaign/rig.h"

namespace assent::crash {

struct Audited {
  long transactions = 0;
  long branches = 0;
  long answers = 0;
  long gets = 0;
};

// Waits until nothing is unfinished and no participant holds anything, at most `bound`; then
// compares. `already`: gids that were audited before and are looked at again only by the last audit
// (`everything`).
Audited Audit(Rig& rig, const Options& options, AnswerBook& book, std::set<std::string>& already,
              bool everything, Findings& findings);

}  // namespace assent::crash

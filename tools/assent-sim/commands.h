#pragma once

// What the program prints, and its exit status: 1 for any violation. Shared with
// assent-sim-mutants, which shows with a planted canary that it can be 1.

#include <string>
#include <vector>

#include "tools/assent-sim/campaign.h"
#include "tools/assent-sim/explorer.h"

namespace assent::sim {

int ReportCampaign(const CampaignOptions& options, bool json);
int ReportExploration(const ExplorerOptions& options, bool json);
void PrintTrace(const std::vector<std::string>& trace);

}  // namespace assent::sim

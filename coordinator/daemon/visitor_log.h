#pragma once

// What the log says of participants: who came, who left, who cannot be reached, and who was turned
// away.

#include <string>

#include "coordinator/daemon/logging.h"
#include "coordinator/transport/transport.h"

namespace assent::daemon {

class VisitorLog final : public transport::Witness {
 public:
  void OnCame(const transport::Visitor& visitor) override;
  void OnLeft(const transport::Visitor& visitor, const std::string& why) override;
  void OnUnreachable(const transport::Visitor& visitor, const std::string& why) override;
  // Anybody can be refused as often as he likes: so many lines a second, and the number of the
  // others.
  void OnRefused(const transport::Visitor& visitor, const std::string& why) override;
  // Says how many refusals were left out. Call about once a second.
  void Tick();

 private:
  LibraryLogMeter refusals_{{.max_lines_per_second_count = 1, .max_burst_lines_count = 10}};
};

}  // namespace assent::daemon

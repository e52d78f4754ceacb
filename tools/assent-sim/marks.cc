#include "tools/assent-sim/marks.h"

#include <array>
#include <string_view>

namespace assent::sim {
namespace {

constexpr std::array<std::string_view, Marks::kCount> kTexts = {
#define ASSENT_SIM_MARK(name, text) #name ": " text,
    ASSENT_SIM_MARKS(ASSENT_SIM_MARK)
#undef ASSENT_SIM_MARK
};

}  // namespace

void MarkCounts::Add(const Marks& schedule) {
  for (std::size_t i = 0; i < Marks::kCount; ++i) counts_[i] += schedule.Has(i) ? 1 : 0;
}

void MarkCounts::Add(const MarkCounts& other) {
  for (std::size_t i = 0; i < Marks::kCount; ++i) counts_[i] += other.counts_[i];
}

std::string MarkCounts::Name(std::size_t mark) { return std::string(kTexts[mark]); }

std::vector<std::string> MarkCounts::Missed() const {
  std::vector<std::string> missed;
  for (std::size_t i = 0; i < Marks::kCount; ++i) {
    if (counts_[i] == 0) missed.push_back(Name(i));
  }
  return missed;
}

}  // namespace assent::sim

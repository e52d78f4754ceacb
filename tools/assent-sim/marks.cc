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

std::vector<std::string> Marks::Missed() const {
  std::vector<std::string> missed;
  for (std::size_t i = 0; i < kCount; ++i) {
    if (!bits_.test(i)) missed.emplace_back(kTexts[i]);
  }
  return missed;
}

}  // namespace assent::sim

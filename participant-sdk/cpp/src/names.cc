#include <array>
#include <cstddef>
#include <string_view>

#include <assent/call.h>
#include <assent/transaction.h>

namespace assent {
namespace {

// The vocabulary's names, as prose has them: "read-only".
template <std::size_t kCount>
class Lower {
 public:
  explicit constexpr Lower(const std::array<std::string_view, kCount>& names) {
    for (std::size_t i = 0; i < kCount; ++i) {
      for (std::size_t at = 0; at < names[i].size(); ++at) {
        const char c = names[i][at];
        names_[i][at] = c == '_' ? '-' : static_cast<char>(c - 'A' + 'a');
      }
    }
  }
  template <typename Word>
  const char* operator()(Word word) const {
    const auto number = static_cast<std::size_t>(word);
    return number < kCount ? names_[number].data() : "invalid";
  }

 private:
  std::array<std::array<char, 16>, kCount> names_{};
};

constexpr Lower kOutcomes(internal::kOutcomeNames);
constexpr Lower kTransactionStates(internal::kTransactionStateNames);
constexpr Lower kBranchStates(internal::kBranchStateNames);

}  // namespace

const char* OperationName(Operation operation) {
  const std::string_view name = Name(operation);
  return operation == kNoOperation || name == "?" ? "INVALID_OPERATION" : name.data();
}
const char* ProtocolName(Protocol protocol) {
  const std::string_view name = Name(protocol);
  return name == "?" ? "invalid" : name.data();
}
const char* OutcomeName(Outcome outcome) { return kOutcomes(outcome); }
const char* TransactionStateName(TransactionState state) { return kTransactionStates(state); }
const char* BranchStateName(BranchState state) { return kBranchStates(state); }

}  // namespace assent

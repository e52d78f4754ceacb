#include "tests/crash/bank.h"
#include "tests/crash/campaign/initiator.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kTooMuch = 1'000'000;

class Draw {
 public:
  Draw(Dice& dice, bool open) : dice_(dice), open_(open) {}

  int Below(int bound) { return static_cast<int>(dice_() % static_cast<unsigned>(bound)); }

  void Add(Protocol protocol, int bank, std::int64_t delta, const char* action,
           bool pivot = false) {
    PlannedBranch planned;
    planned.id = std::to_string(plan_.planned.size() + 1);
    planned.bank = bank;
    planned.tokens = std::string(action) == "look" ? 0 : 1;
    planned.delta = delta;
    planned.action = action;
    Branch branch;
    branch.protocol = protocol;
    branch.service = "bank" + std::to_string(bank);
    branch.action = action;
    branch.payload = Movement(Below(kAccountsCount), delta);
    if (Below(10) == 0)
      branch.payload += " " + std::string(static_cast<std::size_t>(Below(6000)), 'x');
    branch.options.id = planned.id;
    branch.options.pivot = pivot;
    branch.options.retry = {.initial_backoff = milliseconds(5), .max_backoff = milliseconds(200)};
    branch.options.attempt_timeout = milliseconds(300 + Below(900));
    plan_.planned.push_back(std::move(planned));
    if (!open_) plan_.transaction.Add(branch);
    plan_.branches.push_back(std::move(branch));
  }

  // From one bank to one or two others; what overdraws is refused, and the whole aborts.
  void Transfer(int protocol_drawn, bool pivot) {
    const auto protocol = [&] {
      return static_cast<Protocol>(1 + (protocol_drawn == 3 ? Below(3) : protocol_drawn));
    };
    const std::int64_t amount = Below(10) == 0 ? kTooMuch : 1 + Below(20);
    const int from = Below(kBanksCount);
    const int to = (from + 1 + Below(kBanksCount - 1)) % kBanksCount;
    const bool refused_last = Below(2) == 0;
    const int others = 1 + Below(3);
    std::int64_t rest = amount;
    if (!refused_last) Add(protocol(), from, -amount, "move");
    for (int i = 0; i < others; ++i) {
      const std::int64_t part = i + 1 == others ? rest : rest / 2;
      rest -= part;
      Add(protocol(), (to + i) % kBanksCount, part, "move",
          pivot && i + 1 == others && !refused_last);
    }
    if (refused_last) Add(protocol(), from, -amount, "move", pivot);
  }

  Plan Take() { return std::move(plan_); }
  Plan& plan() { return plan_; }

 private:
  Dice& dice_;
  const bool open_;
  Plan plan_;
};

}  // namespace

Plan DrawPlan(Dice& dice, bool open) {
  Draw draw(dice, open);
  Transaction& transaction = draw.plan().transaction;
  transaction.Deadline(milliseconds(1500 + draw.Below(2500)));
  const int shape = draw.Below(10);
  if (shape == 0) {  // one branch alone: one phase, and its like
    draw.Add(static_cast<Protocol>(1 + draw.Below(3)), draw.Below(kBanksCount), 0, "move");
  } else if (shape == 1) {  // a chain of steps with a point of no return
    draw.Transfer(2, !open);
    transaction.InOrder(Ordering::kSequential);
  } else {
    draw.Transfer(draw.Below(4), false);
    if (shape == 2) draw.Add(Protocol::kTwoPhase, draw.Below(kBanksCount), 0, "look");
    if (shape == 3) draw.Add(Protocol::kSaga, draw.Below(kBanksCount), 0, "book");
    if (shape == 4) transaction.InOrder(Ordering::kSequential);
  }
  return draw.Take();
}

}  // namespace assent::crash

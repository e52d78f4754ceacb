#pragma once

// For the demo only: stops the whole process (SIGSTOP) at an exact point, so that the driver can
// kill something there, for sure, instead of hoping that a sleep hits it. A decorator: everything
// else goes to the resource behind it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <assent/call.h>
#include <assent/resource.h>

namespace shop {

struct TripPoint {
  enum class When : std::uint8_t {
    kBefore,  // the command has arrived, nothing was done about it
    kAfter,   // it is done and durable, and the answer has not left
  };
  When when = When::kBefore;
  std::string operation;  // "PREPARE", "CONFIRM", …
  std::string action;     // empty: any
};

// "after:TRY", "before:ACTION:confirm". Empty when it is not one.
std::optional<TripPoint> ParseTripPoint(std::string_view text);

class Tripwire final : public assent::Resource {
 public:
  // Trips at most once. Without a point, never. Does not own `behind`.
  Tripwire(assent::Resource& behind, std::optional<TripPoint> point);

  std::vector<assent::OfferedAction> Actions() const override;
  void Execute(assent::Call call, assent::Responder respond) override;
  std::vector<assent::HeldBranch> Questions(std::size_t limit) override;
  void Answer(const assent::HeldBranch& branch, assent::Verdict verdict, bool finished) override;

 private:
  assent::Resource& behind_;
  const std::optional<TripPoint> point_;
  std::atomic<bool> tripped_{false};
};

}  // namespace shop

#include "tools/assent-sim/fiber.h"

#include <cstdint>
#include <utility>
#include <vector>

#include <assent/status.h>

// Of the sanitizers' interface.
extern "C" {
void __sanitizer_start_switch_fiber(void** fake, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* fake, const void** bottom, std::size_t* size);
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}

namespace assent::sim {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10;
constexpr std::size_t kKeptStacks = 32;

}  // namespace

// Thousands of fibers live one after the other: their stacks are used again.
struct Fiber::Stack {
  Stack() {
    if (Kept().empty()) {
      bytes.reset(new char[kStackBytes]);  // not touched before it is used
    } else {
      bytes = std::move(Kept().back());
      Kept().pop_back();
    }
  }
  ~Stack() {
    if (Kept().size() < kKeptStacks) Kept().push_back(std::move(bytes));
  }
  static std::vector<std::unique_ptr<char[]>>& Kept() {
    thread_local std::vector<std::unique_ptr<char[]>> kept;
    return kept;
  }
  std::unique_ptr<char[]> bytes;
};

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {}

Fiber::~Fiber() {
  ASSENT_CHECK(!running_);
  if (begun_ && !done_) {
    unwinding_ = true;
    SwitchIn();
    ASSENT_CHECK(done_);
  }
#if defined(__SANITIZE_THREAD__)
  if (tsan_inside_ != nullptr) __tsan_destroy_fiber(tsan_inside_);
#endif
}

void Fiber::Resume() {
  ASSENT_CHECK(!running_);
  if (done_) return;
  if (!std::exchange(begun_, true)) {
    stack_ = std::make_unique<Stack>();
    ASSENT_CHECK(getcontext(&inside_) == 0);
    inside_.uc_stack.ss_sp = stack_->bytes.get();
    inside_.uc_stack.ss_size = kStackBytes;
    inside_.uc_link = nullptr;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::Enter), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
#if defined(__SANITIZE_THREAD__)
    tsan_inside_ = __tsan_create_fiber(0);
#endif
  }
  SwitchIn();
}

void Fiber::SwitchIn() {
  running_ = true;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_outside_, stack_->bytes.get(), kStackBytes);
#endif
#if defined(__SANITIZE_THREAD__)
  tsan_outside_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_inside_, 0);
#endif
  ASSENT_CHECK(swapcontext(&outside_, &inside_) == 0);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_outside_, nullptr, nullptr);
#endif
  running_ = false;
}

void Fiber::SwitchOut() {
#if defined(__SANITIZE_ADDRESS__)
  // Of a stack that is left for good the shadow of its frames goes as well.
  __sanitizer_start_switch_fiber(done_ ? nullptr : &fake_inside_, outside_bottom_, outside_size_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(tsan_outside_, 0);
#endif
  ASSENT_CHECK(swapcontext(&inside_, &outside_) == 0);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_inside_, &outside_bottom_, &outside_size_);
#endif
}

void Fiber::Wait() {
  ASSENT_CHECK(running_);
  if (unwinding_) return;  // a destructor on the way out: nobody answers any more
  SwitchOut();
  if (unwinding_) throw Unwind();
}

void Fiber::Enter(unsigned high, unsigned low) {
  const std::uintptr_t self = (static_cast<std::uintptr_t>(high) << 32) | low;
  reinterpret_cast<Fiber*>(self)->Run();
}

void Fiber::Run() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &outside_bottom_, &outside_size_);
#endif
  try {
    body_();
  } catch (const Unwind&) {
    // The process that it belonged to has died.
  }
  done_ = true;
  SwitchOut();
}

}  // namespace assent::sim

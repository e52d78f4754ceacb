#pragma once

// A thread that its owner joins.

#include <thread>
#include <utility>

namespace assent::internal {

// Joins in the destructor. One case is different: user code called by the thread itself may drop
// the last reference to the owner, and a thread cannot join itself. It then goes on alone, so
// whatever it uses must be shared with it, and it must have been told to end.
class OwnThread {
 public:
  OwnThread() = default;
  template <typename Body>
  explicit OwnThread(Body body) : thread_(std::move(body)) {}
  OwnThread(OwnThread&&) noexcept = default;
  OwnThread& operator=(OwnThread&&) = delete;
  ~OwnThread() { Join(); }

  void Join() {
    if (!thread_.joinable()) return;
    if (Current()) {
      thread_.detach();  // tidy: allow(detach) see above
    } else {
      thread_.join();
    }
  }
  bool Current() const { return thread_.get_id() == std::this_thread::get_id(); }

 private:
  std::thread thread_;
};

}  // namespace assent::internal

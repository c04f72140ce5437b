// faulty_enter: io_uring_enter(2) fails when the test says so.
//
// The test program has an io_uring_enter2() of its own, which the linker takes instead of
// liburing's. So what the kernel does under memory pressure or at a signal can be had on command,
// and what it answers can be changed.
#pragma once

#include <cstddef>
#include <functional>

namespace ringlet::test {

/// What is to be entered.
struct enter_call {
  unsigned to_submit;
  unsigned min_complete;
  unsigned flags;
};

/// While it lives, every enter of this thread asks `fault` first: 0 makes the call, a negated errno
/// is returned in its place. After a call that was made comes `after`.
class faulty_enter {
 public:
  explicit faulty_enter(std::function<int(const enter_call&)> fault,
                        std::function<void()> after = nullptr);
  faulty_enter(const faulty_enter&) = delete;
  faulty_enter& operator=(const faulty_enter&) = delete;
  ~faulty_enter();

  /// How many calls were made or refused while it lived.
  std::size_t calls() const noexcept { return calls_; }

 private:
  friend int enter_or_fail(unsigned, const enter_call&, void*, std::size_t);
  std::function<int(const enter_call&)> fault_;
  std::function<void()> after_;
  std::size_t calls_ = 0;
};

}  // namespace ringlet::test

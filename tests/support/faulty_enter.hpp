// faulty_enter: io_uring_enter(2) fails when the test says so.
//
// The test program has its own io_uring_enter2(), which the linker takes instead of liburing's. It
// reproduces on command what the kernel does under memory pressure or at a signal, and can change
// the kernel's answers.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>

namespace ringlet::test {

/// The arguments of the enter.
struct enter_call {
  unsigned to_submit;
  unsigned min_complete;
  unsigned flags;
};

/// During its lifetime every enter of this thread calls `fault` first: 0 makes the system call, a
/// negated errno is returned instead. `after` is called after each system call.
class faulty_enter {
 public:
  explicit faulty_enter(std::function<int(const enter_call&)> fault,
                        std::function<void()> after = nullptr);
  faulty_enter(const faulty_enter&) = delete;
  faulty_enter& operator=(const faulty_enter&) = delete;
  ~faulty_enter();

  /// How many calls were made or refused during its lifetime.
  std::size_t calls() const noexcept { return calls_; }

 private:
  friend int enter_or_fail(unsigned, const enter_call&, void*, std::size_t);
  std::function<int(const enter_call&)> fault_;
  std::function<void()> after_;
  std::size_t calls_ = 0;
};

}  // namespace ringlet::test

// gate: lets threads use an object that its owner may take away.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/mailbox.hpp>

#include <cstdint>

namespace ringlet::detail {

/// Threads enter, use the object and leave; the owner closes the gate and waits until they have
/// left. Not a mutex: threads do not exclude each other, so one that is preempted inside delays
/// only the owner, and only at the end. tests/model/gate_model_test.cpp shows that each memory
/// order is needed.
template <class Threads = real_atomics>
class gate {
 public:
  /// False once the gate is closed; what the owner did before it closed the gate is then visible.
  /// Otherwise the caller calls leave() when it has used the object.
  bool enter() noexcept {
    if ((state_.fetch_add(one_inside, std::memory_order_acquire) & closed) == 0) return true;
    state_.fetch_sub(one_inside, std::memory_order_relaxed);
    return false;
  }
  void leave() noexcept { state_.fetch_sub(one_inside, std::memory_order_release); }
  bool is_closed() const noexcept { return (state_.load(std::memory_order_acquire) & closed) != 0; }

  /// For the owner, once. When it returns, what threads did inside is visible.
  void close() noexcept {
    state_.fetch_add(closed, std::memory_order_release);
    while (state_.load(std::memory_order_acquire) != closed) Threads::yield();
  }

 private:
  static constexpr std::uint32_t closed = 1;
  static constexpr std::uint32_t one_inside = 2;

  typename Threads::template atomic<std::uint32_t> state_ = 0;
};

}  // namespace ringlet::detail

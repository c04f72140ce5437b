// any_fiber: a handle to a fiber of any result type, such as the running one.
//
//     task<> work(queue<any_fiber>& registry) {
//       co_await registry.push(current_fiber());  // its reader may join or kill this fiber
//       co_await sleep(1h);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/fiber.hpp>

#include <cstdint>
#include <exception>
#include <string_view>
#include <utility>

namespace ringlet {

/// Like fiber<T> without the value: made from any fiber<T>, or by current_fiber(). Copyable and
/// cheap; it may be empty. It does not own the fiber.
///
/// Errors    Those of fiber<T>. join() and kill() do not throw the error of the fiber.
/// Cancellation  join() and kill() lose nothing, and leave the fiber as it is.
/// Lifetime  The outcome lives as long as a handle does, even after run() has returned.
/// Thread    The scheduler's. Other threads may do what they may with a fiber<T>.
/// Memory    None. Storing a name or an exception allocates.
class any_fiber {
 public:
  /// No fiber.
  any_fiber() noexcept = default;
  /// The same fiber; none for an empty handle.
  template <class T>
  any_fiber(const fiber<T>& known) noexcept : any_fiber(known ? &known.state() : nullptr) {}
  /// For authors of waits; null for none.
  explicit any_fiber(extend::fiber_base* shared) noexcept : base_(shared) {
    if (base_ != nullptr) base_->add_reference();
  }
  any_fiber(const any_fiber& other) noexcept : any_fiber(other.base_) {}
  any_fiber(any_fiber&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}
  any_fiber& operator=(any_fiber other) noexcept {
    std::swap(base_, other.base_);
    return *this;
  }
  ~any_fiber() {
    if (base_ != nullptr) base_->drop_reference();
  }

  /// Whether it is a handle to a fiber.
  explicit operator bool() const noexcept { return base_ != nullptr; }
  friend bool operator==(const any_fiber& a, const any_fiber& b) noexcept {
    return a.base_ == b.base_;
  }

  /// As fiber<T>::join(): waits until the fiber has ended; false if the limit passed first.
  extend::join_wait join(time_limit timeout = forever) const noexcept {
    return extend::join_wait(checked(), timeout);
  }
  /// As fiber<T>::request_kill(): asks the fiber to end.
  void request_kill() const noexcept { checked().kill(); }
  void request_kill(std::exception_ptr error) const { checked().kill_with(std::move(error)); }
  /// As fiber<T>::kill(): asks the fiber to end and waits for it; false if the limit passed first.
  extend::kill_wait kill(time_limit timeout = forever) const noexcept {
    return {checked(), nullptr, timeout};
  }
  extend::kill_wait kill(std::exception_ptr error, time_limit timeout = forever) const noexcept {
    return {checked(), std::move(error), timeout};
  }

  /// Whether the fiber has ended, in any way.
  bool done() const noexcept { return checked().done(); }
  /// How the fiber ended, or pending.
  outcome result() const noexcept { return checked().result(); }
  /// The exception that ended the fiber, or null. The error then counts as handled.
  std::exception_ptr error() const noexcept { return checked().error(); }
  /// Unique among the fibers of the scheduler.
  std::uint64_t id() const noexcept { return checked().id(); }
  /// The name of the fiber in dump() and messages; empty unless set. Valid until the next
  /// set_name(), as long as a handle exists.
  std::string_view name() const noexcept { return checked().name(); }
  /// Sets the name, which is copied.
  void set_name(std::string_view name) const { checked().set_name(name); }

 private:
  extend::fiber_base& checked() const noexcept {
    RINGLET_ASSERT(base_ != nullptr, "an empty fiber handle was used");
    return *base_;
  }

  extend::fiber_base* base_ = nullptr;
};

/// A handle to the calling fiber, for other fibers to join, kill or name. Aborts outside of a
/// fiber.
inline any_fiber current_fiber() { return any_fiber(&extend::current()); }

}  // namespace ringlet

// any_fiber: a handle to a fiber of any result type, such as the running one.
//
//     task<> work(queue<any_fiber>& registry) {
//       co_await registry.push(current_fiber()); // other fibers may join or kill it
//       ...
//     }
#pragma once

#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/fiber.hpp>

#include <cstdint>
#include <exception>
#include <string_view>
#include <utility>

namespace ringlet {

/// Like fiber<T> without the value: made from any fiber<T>, or by current_fiber(). Copyable and
/// cheap; it does not own the fiber. For its functions, their errors and threads see fiber<T>.
class any_fiber {
 public:
  /// No fiber.
  any_fiber() noexcept = default;
  template <class T>
  any_fiber(const fiber<T>& known) noexcept : any_fiber(known ? &known.state() : nullptr) {}
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

  explicit operator bool() const noexcept { return base_ != nullptr; }
  friend bool operator==(const any_fiber& a, const any_fiber& b) noexcept {
    return a.base_ == b.base_;
  }

  extend::join_wait join(time_limit timeout = forever) const noexcept {
    return extend::join_wait(checked(), timeout);
  }
  void request_kill() const noexcept { checked().kill(); }
  void request_kill(std::exception_ptr error) const { checked().kill_with(std::move(error)); }
  extend::kill_wait kill(time_limit timeout = forever) const noexcept {
    return {checked(), nullptr, timeout};
  }
  extend::kill_wait kill(std::exception_ptr error, time_limit timeout = forever) const noexcept {
    return {checked(), std::move(error), timeout};
  }

  bool done() const noexcept { return checked().done(); }
  outcome result() const noexcept { return checked().result(); }
  std::exception_ptr error() const noexcept { return checked().error(); }
  std::uint64_t id() const noexcept { return checked().id(); }
  std::string_view name() const noexcept { return checked().name(); }
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

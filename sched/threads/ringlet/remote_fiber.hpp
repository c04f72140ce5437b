// remote_fiber: a handle to a fiber that any thread may use.
//
//     void worker_thread(scheduler_handle server) {             // a thread without a scheduler
//       const remote_fiber<int> count = server.spawn(count_users);
//       std::printf("%d users\n", count.get_blocking());            // blocks this thread
//     }
//
//     task<> report(scheduler_handle server) {                  // a fiber of another scheduler
//       const remote_fiber<int> count = server.spawn(count_users);
//       std::printf("%d users\n", co_await count.get(5s));
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/remote_fiber_state.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/remote_fiber_waits.hpp>
#include <ringlet/outcome.hpp>
#include <ringlet/time_limit.hpp>

#include <exception>
#include <utility>

namespace ringlet {

/// A handle to a fiber that scheduler_handle::spawn() started. Copyable and cheap. It does not own
/// the fiber: when the last handle is dropped, the fiber keeps running. The value lives as long as
/// a handle does.
///
/// Errors    get() and get_blocking(): the exception that the task threw, each time;
///           errc::fiber_cancelled if the fiber was killed, also by the end of its scheduler;
///           timed_out. An error that no handle has read is reported when the last handle is
///           dropped, on that thread.
/// Cancellation  A fiber that stops waiting does not end the fiber that it waits for.
/// Lifetime  A handle may outlive both schedulers, and does not keep a scheduler from ending.
/// Thread    Any. Calls to be awaited are for fibers; join_blocking() and get_blocking() block, and
///           are for threads without a scheduler: elsewhere they abort. Copies are independent.
/// Memory    None; spawn() has allocated what all handles share.
template <class T = void>
class remote_fiber {
 public:
  using value_type = T;

  /// No fiber.
  remote_fiber() noexcept = default;
  /// Takes over one reference.
  explicit remote_fiber(detail::remote_fiber_state<T>& adopted) noexcept : state_(&adopted) {}
  remote_fiber(const remote_fiber& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_reference();
  }
  remote_fiber(remote_fiber&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  remote_fiber& operator=(remote_fiber other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~remote_fiber() {
    if (state_ != nullptr) state_->drop_reference();
  }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  friend bool operator==(const remote_fiber& a, const remote_fiber& b) noexcept {
    return a.state_ == b.state_;
  }

  /// Waits until the fiber has ended, in any way. Its error is not thrown. Returns false if the
  /// limit passed first. A fiber that joins itself aborts. May be a part of a select().
  extend::remote_join_wait join(time_limit timeout = forever) const noexcept {
    return {checked(), timeout};
  }
  /// Waits until the fiber has ended and returns its value: a reference, valid as long as a handle
  /// exists. May be a part of a select().
  extend::remote_get_wait<T, false> get(time_limit timeout = forever) const& noexcept {
    return {checked(), timeout};
  }
  /// The same for an rvalue handle: moves the value out. Moving it out twice aborts.
  extend::remote_get_wait<T, true> get(time_limit timeout = forever) && noexcept {
    return {checked(), timeout};
  }

  /// Asks the fiber to end, as fiber<T>::request_kill() does. The request is a message: the fiber
  /// may return a value before it arrives.
  void request_kill() const noexcept { checked().request_kill(); }
  /// Like request_kill(), then waits for the end like join(). Cannot be part of a select().
  extend::remote_kill_wait kill(time_limit timeout = forever) const noexcept {
    return {checked(), timeout};
  }

  /// Blocks this thread until the fiber has ended. Returns false if the limit passed first.
  bool join_blocking(time_limit timeout = forever) const { return checked().wait(timeout); }
  /// Blocks this thread until the fiber has ended, and returns its value, or throws as get() does.
  decltype(auto) get_blocking(time_limit timeout = forever) const& {
    return checked_value(timeout).get();
  }
  /// The same for an rvalue handle: moves the value out.
  T get_blocking(time_limit timeout = forever) && { return checked_value(timeout).move_out(); }

  bool done() const noexcept { return checked().done(); }
  /// How the fiber ended, or pending.
  outcome result() const noexcept { return checked().result(); }
  /// The exception that ended the fiber, or null. The error then counts as handled.
  std::exception_ptr error() const noexcept { return checked().error(); }

 private:
  detail::remote_fiber_state<T>& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "an empty remote_fiber was used");
    return *state_;
  }
  detail::fiber_value<T>& checked_value(time_limit timeout) const {
    if (!join_blocking(timeout)) throw timed_out("get");
    if (result() != outcome::value) checked().throw_failure();
    return checked().value();
  }

  detail::remote_fiber_state<T>* state_ = nullptr;
};

}  // namespace ringlet

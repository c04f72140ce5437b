// concurrent_wait: a fiber's wait for an object that threads share, such as a concurrent_queue.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_waiter.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/time_limit.hpp>

#include <cstdint>

namespace ringlet::extend {

/// The part that does not depend on the object. Any thread may serve it; the notification then
/// comes to the fiber's thread in a posted_work of the wait's own, which does not allocate and
/// needs no place in the mailbox. Until it has come, the wait stays where it is: the fiber cannot
/// end, and so neither can its scheduler.
class concurrent_wait : public two_phase_wait,
                        public detail::concurrent_waiter,
                        private posted_work {
 public:
  static constexpr bool is_external = true;
  /// Served, but another wait of the select() has won, and the notification is on its way.
  bool lingers() const noexcept { return stage_ == stage::lingering; }

 protected:
  enum class stage : std::uint8_t { begun, watched, lingering, over };

  explicit concurrent_wait(time_limit timeout) noexcept
      : two_phase_wait(timeout), detail::concurrent_waiter(how) {
    run = &concurrent_wait::on_notified;
  }
  ~concurrent_wait() = default;

  /// Must be called before other threads can find the wait.
  void expect_notification() noexcept {
    notified_ = &fiber_->scheduler().engine();
    stage_ = stage::watched;
  }
  void end_now() noexcept {
    stage_ = stage::over;
    conclude_external();
  }

  stage stage_ = stage::begun;

 private:
  static void notify(detail::concurrent_waiter& served) noexcept;
  static bool is_of_parent(const detail::concurrent_waiter& waiter) noexcept;
  static void on_notified(posted_work& self) noexcept;
  static const kind how;

  engine* notified_ = nullptr;
};

/// The hooks of such a wait. `Wait` has, in addition to its own hooks:
///
///   bool join_line()   takes what it waits for, and returns true; or else joins the line
///   bool leave_line()  leaves the line; false if it has been served or refused
///   void give_back()   gives back what it was served with
template <class Wait>
class basic_concurrent_wait : public concurrent_wait {
 public:
  void watch() noexcept {
    expect_notification();
    if (self().join_line()) end_now();
  }
  void unwatch() noexcept {
    if (stage_ != stage::watched) return;
    stage_ = stage::over;
    if (self().leave_line()) return;
    stage_ = stage::lingering;
    if (where() == standing::served) self().give_back();
  }
  // Success wins: one that has been served ends when the notification comes.
  void on_cancel(cancel_reason reason) noexcept {
    if (stage_ != stage::watched || !self().leave_line()) return;
    reason_ = reason;
    end_now();
  }

 protected:
  using concurrent_wait::concurrent_wait;
  ~basic_concurrent_wait() = default;

 private:
  Wait& self() noexcept { return static_cast<Wait&>(*this); }
};

}  // namespace ringlet::extend

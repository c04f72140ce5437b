// barrier: a number of fibers wait for each other, repeatedly.
//
//     std::vector<int> parts(4, 1);
//     int sum = 0;
//     barrier step(parts.size(), [] {  // the action, once a step
//       sum = 0;
//       for (const int part : parts) sum += part;
//     });
//
//     task<> work(std::size_t mine) {
//       while (sum < 1000) {
//         parts[mine] *= 2;
//         co_await step.arrive_and_wait();  // continues when all are doubled, and added up
//       }
//     }
//
// Like Python's threading.Barrier.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_list.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

namespace ringlet {

/// A place where `parties` fibers wait until all of them have arrived. Then all continue, and the
/// next round begins. An arrival that is killed or times out would leave the rest waiting for
/// nothing, so it breaks the barrier: all waits fail, and so do later arrivals, until reset().
///
/// Errors    timed_out, for the arrival whose limit passed. errc::broken_barrier, for the rest. The
///           exception of the action, for the last arrival. std::invalid_argument, from the
///           constructor.
/// Cancellation  A fiber that is killed while it waits breaks the barrier. Success wins: once the
///           last one has arrived, every wait returns its index. A fiber in which a kill is pending
///           when it calls arrive_and_wait() does not arrive, and breaks nothing: let its clean-up
///           call abort() where the rest would wait for it.
/// Lifetime  Must outlive the fibers that wait, and its action; otherwise the destructor aborts.
///           While an exception unwinds the owner, it ends their waits with errc::broken_barrier
///           instead, and reports that.
/// Thread    That of the scheduler whose fibers use it. On other threads every call that changes it
///           aborts.
/// Memory    The action's, from the constructor; nothing later.
class barrier {
 public:
  /// For `parties` fibers, at least 1.
  explicit barrier(std::size_t parties);
  /// Before each round ends, the last arrival calls `action()`, which must not wait. If that
  /// throws, the barrier is broken.
  template <class F>
  requires std::invocable<F&> && std::copy_constructible<std::decay_t<F>> barrier(
      std::size_t parties, F&& action)
      : barrier(parties) {
    static_assert(!detail::is_task<std::invoke_result_t<F&>>,
                  "the action of a barrier returns a task, which would never run: call spawn() in "
                  "it, or let one of the fibers act after arrive_and_wait()");
    action_ = std::forward<F>(action);
  }
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;
  ~barrier();

  class arrival;
  /// Arrives, and waits until all parties have. Returns the index of the arrival in its round: 0
  /// for the first, parties() - 1 for the last. Each index comes once, so `== 0` chooses one fiber.
  /// Cannot be a part of a select(): arriving changes what the rest wait for, and taking that back
  /// breaks the barrier.
  arrival arrive_and_wait(time_limit timeout = forever) noexcept;

  /// Breaks it: all waits and later arrivals fail with errc::broken_barrier.
  void abort() noexcept;
  /// Begins a new round in a barrier that is not broken. Fibers that wait fail with
  /// errc::broken_barrier. Must not be called by the action.
  void reset() noexcept;
  /// Whether arrivals fail.
  bool is_broken() const noexcept { return broken_; }

  /// How many fibers a round needs.
  std::size_t parties() const noexcept { return parties_; }
  /// How many wait for the rest; 0 when it is broken.
  std::size_t arrived() const noexcept { return arrived_; }

 private:
  void check_thread() noexcept {
    owner_.check("a barrier was used on a thread that is not its scheduler's");
  }
  void end_round() noexcept;
  void break_round() noexcept;
  std::exception_ptr act() noexcept;

  std::size_t parties_;
  std::size_t arrived_ = 0;
  detail::affinity owner_;
  bool broken_ = false;
  bool acts_ = false;  // the action is running
  std::function<void()> action_;
  extend::wait_list waiters_;
  extend::wake_list released_;
  extend::wake_list failed_{extend::cancel_reason::closed};
};

/// See barrier::arrive_and_wait().
class [[nodiscard]] barrier::arrival : public extend::list_wait {
 public:
  arrival(barrier& at, time_limit timeout) noexcept : extend::list_wait(timeout), at_(&at) {}

  // By hand instead of by begin_alone(), whose hooks would make it selectable.
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<std::size_t> take();
  std::size_t await_resume() { return detail::value_or_throw(take(), "barrier"); }

  void on_cancel(extend::cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 private:
  bool begin(extend::frame_record& from) noexcept;
  /// True if the wait is over without suspending.
  bool arrive() noexcept;
  static const extend::wait_type type;

  barrier* at_;
  std::size_t index_ = 0;
  // The rounds of the lists above when it arrived: one of them counts on when its round has ended.
  std::uint32_t released_before_ = 0;
  std::uint32_t failed_before_ = 0;
  std::exception_ptr failure_;  // of the action
};

inline barrier::arrival barrier::arrive_and_wait(time_limit timeout) noexcept {
  return {*this, timeout};
}

}  // namespace ringlet

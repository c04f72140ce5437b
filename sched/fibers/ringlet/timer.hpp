// timer: calls a function later, unless it is cancelled first, like Python's threading.Timer.
//
//     task<> serve(stream& peer) {
//       timer idle([&peer] { peer.abort(); });
//       idle.start(30s);
//       while (const buffer data = co_await peer.receive()) {
//         idle.restart(30s);
//         co_await handle(data);
//       }
//     }
//
// To limit a call, use with_timeout(), which ends the call and needs no function; to call something
// later and never cancel it, use spawn_after(); to do something regularly, use ticker.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/alarm.hpp>
#include <ringlet/detail/timer_function.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_list.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace ringlet {

/// What a timer calls: a function without arguments that returns a task<>, or nothing. It may be
/// called more than once.
template <class F>
concept timer_function = detail::is_timer_function<std::decay_t<F>>;

/// Calls a function some time after start(), in a fiber of its own, so the function may wait. The
/// timer owns that fiber: destroying the timer cancels it, and if the function runs, asks it to end
/// without waiting for that. Await join() first if the function uses something that is about to be
/// destroyed.
///
/// A timer may be started again as soon as it has fired, also by its function. Its calls do not
/// overlap: a timer that is due while its function still runs calls it again when that call ends.
///
/// Errors    A failure of the function is reported like that of any other fiber; see
///           options::on_unhandled_error. start() and restart() throw std::bad_alloc, and then
///           leave the timer unchanged.
/// Cancellation  Killing the fiber that started the timer does not affect it.
/// Lifetime  What the function refers to must live until the timer is cancelled or idle. Destroying
///           a timer while a fiber waits in join() aborts. A timer may outlive run(), which cancels
///           it, and may be destroyed by its own function, which then is not asked to end.
/// Thread    That of the scheduler on which it was made. One that is made outside of run(), as a
///           global variable is, aborts.
/// Memory    The first start(), and the first after each call, allocates the fiber. restart() of an
///           armed timer, firing, and cancelling do not allocate.
class timer : private extend::done_watcher {
 public:
  /// Makes a timer that is not armed. `f` is copied or moved into it. Throws std::bad_alloc.
  template <timer_function F>
  explicit timer(F&& f, std::source_location where = std::source_location::current())
      : timer(std::make_shared<detail::timer_function_of<std::decay_t<F>>>(std::forward<F>(f)),
              where) {}
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;
  ~timer();

  /// Calls the function after `delay`, counted from now. Aborts if the timer is armed.
  void start(time_limit delay);
  /// The same; if the timer is armed, the new delay replaces the old one.
  void restart(time_limit delay);
  /// Returns true if this prevented a call: the timer was armed, and is not any more. It does not
  /// end a call that has begun.
  bool cancel() noexcept;

  /// Whether the function is going to be called.
  bool is_armed() const noexcept { return armed_; }
  /// Whether a call of the function has begun and has not ended.
  bool is_running() const noexcept { return static_cast<bool>(running_); }

  /// See join().
  class [[nodiscard]] idle_wait;
  /// Waits until the timer is neither armed nor running. Returns true, or false if the limit passed
  /// first. Cancellation loses nothing. May be a part of a select(). The function itself aborts
  /// here, because its wait would never end.
  idle_wait join(time_limit timeout = forever) noexcept;

 private:
  timer(std::shared_ptr<detail::timer_call> function, std::source_location where);
  bool is_idle() const noexcept { return !armed_ && !running_; }
  void arm(time_limit delay);
  void launch() noexcept;
  void drop_prepared() noexcept;
  void on_ended() noexcept;

  struct due_alarm : detail::alarm {
    explicit due_alarm(timer& of);
    timer* owner;
  };

  std::shared_ptr<detail::timer_call> function_;  // shared with the fiber that runs it
  std::source_location where_;
  due_alarm alarm_;
  bool armed_ = false;
  bool is_late_ = false;                           // due, but the last call still runs
  detail::fiber_state<void>* prepared_ = nullptr;  // the fiber of the next call
  fiber<> running_;
  extend::wait_list waiting_;
  extend::wake_list woken_;
};

class timer::idle_wait : public extend::wake_list_wait {
 public:
  idle_wait(timer& on, time_limit timeout) noexcept : extend::wake_list_wait(timeout), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  bool await_resume() { return detail::value_or_throw(take(), "join of a timer"); }

  bool try_now() noexcept;
  void watch() noexcept { wait_in(on_->waiting_, on_->woken_); }
  void on_cancel(extend::cancel_reason reason) noexcept { end_early(reason, on_->woken_); }
  void describe(std::string& out) const;
  const extend::fiber_base* holder() const noexcept {
    return on_->running_ ? &on_->running_.state() : nullptr;
  }
  static const extend::wait_type type;

 private:
  timer* on_;
};

inline timer::idle_wait timer::join(time_limit timeout) noexcept { return {*this, timeout}; }

}  // namespace ringlet

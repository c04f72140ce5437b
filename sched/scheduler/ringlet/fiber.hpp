// fiber: a scheduled call chain of tasks, and the handle to it.
//
//     task<> add_up(std::vector<int> numbers) {
//       const fiber<int> odd = spawn(sum_of, numbers, 1);
//       const fiber<int> even = spawn(sum_of, numbers, 0);
//       const int sum = co_await odd.get() + co_await even.get(5s);
//       show(sum);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/fiber_state.hpp>
#include <ringlet/detail/spawn_call.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/fiber_waits.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ringlet {

/// A handle to a fiber. Copyable and cheap; it may be empty. It does not own the fiber: when the
/// last handle is dropped, the fiber keeps running.
///
/// Errors    Those of a fiber are thrown by get() only. An error that no call has handled when the
///           last handle is gone is reported; see options::on_unhandled_error. Storing a name, a
///           callback or an exception throws std::bad_alloc. An empty handle aborts.
/// Cancellation  join(), get() and kill() lose nothing, and leave the fiber as it is: killing a
///           fiber that waits does not kill the fiber that it waits for.
/// Lifetime  The result lives as long as a handle does, even after run() has returned.
/// Thread    The scheduler's. Other threads, even several at once, may copy and drop handles, and
///           read the result or name of a fiber that has ended (done() was seen to be true on the
///           scheduler's thread). Killing, joining, naming or watching a live fiber on another
///           thread aborts.
/// Memory    One allocation, by spawn(), besides the frame of the task. Joining, ending and killing
///           without an exception do not allocate.
template <class T = void>
class fiber {
 public:
  /// The type of the value that its task returns.
  using value_type = T;

  /// No fiber.
  fiber() noexcept = default;
  /// Takes over one reference.
  explicit fiber(detail::fiber_state<T>& adopted) noexcept : state_(&adopted) {}
  fiber(const fiber& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_reference();
  }
  fiber(fiber&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  fiber& operator=(fiber other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~fiber() {
    if (state_ != nullptr) state_->drop_reference();
  }

  /// Whether it is a handle to a fiber.
  explicit operator bool() const noexcept { return state_ != nullptr; }
  friend bool operator==(const fiber& a, const fiber& b) noexcept { return a.state_ == b.state_; }

  /// Waits until the fiber has ended, in any way. Its error is not thrown, and stays unhandled.
  /// Returns false if the limit passed first. A fiber that joins itself aborts: the wait could
  /// never end.
  extend::join_wait join(time_limit timeout = forever) const noexcept {
    return extend::join_wait(checked(), timeout);
  }

  /// Waits until the fiber has ended and returns its value: a reference into the fiber, valid as
  /// long as a handle exists. May be called repeatedly.
  /// Errors    The exception that the task threw, rethrown each time; errc::fiber_cancelled if the
  ///           fiber was killed; timed_out.
  extend::get_wait<T, false> get(time_limit timeout = forever) const& noexcept {
    return extend::get_wait<T, false>(checked(), timeout);
  }
  /// The same for an rvalue handle: moves the value out. Moving it out twice aborts.
  extend::get_wait<T, true> get(time_limit timeout = forever) && noexcept {
    return extend::get_wait<T, true>(checked(), timeout);
  }

  /// Asks the fiber to end: throws `cancelled` at its current wait, or else at its next one. If the
  /// fiber has not begun, its body never runs. Two requests throw twice. A fiber may catch
  /// `cancelled` and continue.
  void request_kill() const noexcept { checked().kill(); }
  /// Throws `error` instead of `cancelled`. A fiber that has not begun ends with `error`, too.
  void request_kill(std::exception_ptr error) const { checked().kill_with(std::move(error)); }
  /// Like request_kill(), then waits for the end like join(): returns false if the limit passed and
  /// the fiber is still alive. A fiber that kills itself gets the exception immediately, or false
  /// inside a shield. Killing a fiber that has ended does nothing.
  ///
  /// Like every wait, this throws first what is pending for the caller, and then does not kill: use
  /// request_kill() where the fiber has to end in any case.
  extend::kill_wait kill(time_limit timeout = forever) const noexcept {
    return {checked(), nullptr, timeout};
  }
  extend::kill_wait kill(std::exception_ptr error, time_limit timeout = forever) const noexcept {
    return {checked(), std::move(error), timeout};
  }

  /// Calls `f(*this)` or `f()` when the fiber has ended. The call is made on the scheduler's
  /// thread, between fibers, so `f` must not wait or return a task; it may spawn. Callbacks and
  /// joins are served in the order of their registration. If the fiber has already ended, `f` is
  /// called at the end of this turn. One exception stops endless respawning: `f` is not called for
  /// a fiber that was refused because its scope was cancelled, if the callback of another such
  /// fiber spawned it. shutting_down() tells a callback whether the run is ending. An exception
  /// that `f` throws is reported like an unhandled error of a fiber, and the other callbacks are
  /// still called. Aborts after the scheduler has ended.
  template <class F>
  callback_id on_done(F&& f) const;
  /// Removes a callback. True if it was registered and will not be called.
  bool remove_callback(callback_id id) const noexcept { return checked().remove_callback(id); }

  /// Whether the fiber has ended, in any way.
  bool done() const noexcept { return checked().done(); }
  /// How the fiber ended, or pending.
  outcome result() const noexcept { return checked().result(); }
  /// The exception that ended the fiber, or null. The error then counts as handled.
  std::exception_ptr error() const noexcept { return checked().error(); }
  /// The value that the task returned. Aborts unless result() is outcome::value.
  decltype(auto) value() const noexcept {
    RINGLET_ASSERT(result() == outcome::value, "the value of a fiber without a value was read");
    return checked().value().get();
  }

  /// Unique among the fibers of the scheduler. The main fiber has id 1.
  std::uint64_t id() const noexcept { return checked().id(); }
  /// The name of the fiber in dump() and messages; empty unless set. Valid until the next
  /// set_name(), as long as a handle exists.
  std::string_view name() const noexcept { return checked().name(); }
  /// Sets the name, which is copied.
  void set_name(std::string_view name) const { checked().set_name(name); }

  /// For other parts of the library.
  detail::fiber_state<T>& state() const noexcept { return checked(); }

 private:
  detail::fiber_state<T>& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "an empty fiber handle was used");
    return *state_;
  }

  detail::fiber_state<T>* state_ = nullptr;
};

}  // namespace ringlet

namespace ringlet::detail {

/// The return type of a callback of on_done(), called the way on_done() calls it.
template <class F, class T>
using answer_of_callback = typename std::conditional_t<std::invocable<F&, const fiber<T>&>,
                                                       std::invoke_result<F&, const fiber<T>&>,
                                                       std::invoke_result<F&>>::type;

// Keeps the handle that it passes to the callback, and so keeps the fiber alive.
template <class T, class F>
class done_function final : public extend::done_callback {
 public:
  done_function(const fiber<T>& target, F function)
      : target_(target), function_(std::move(function)) {}

 private:
  void call() override {
    if constexpr (std::invocable<F&, const fiber<T>&>) {
      function_(target_);
    } else {
      function_();
    }
  }
  extend::fiber_base& target() const noexcept override { return target_.state(); }

  fiber<T> target_;
  F function_;
};

}  // namespace ringlet::detail

namespace ringlet {

template <class T>
template <class F>
callback_id fiber<T>::on_done(F&& f) const {
  static_assert(!detail::is_task<detail::answer_of_callback<std::decay_t<F>, T>>,
                "on_done() was given a function that makes a task, which would never run: call "
                "spawn() in it");
  using function = detail::done_function<T, std::decay_t<F>>;
  return checked().add_callback(std::make_unique<function>(*this, std::forward<F>(f)));
}

/// Makes a fiber from a task. The fiber is queued and begins when its turn comes. The scheduler
/// owns it.
///
/// Errors    std::bad_alloc: the task is then dropped. Aborts outside of run().
/// Lifetime  What the arguments of the task refer to must outlive the fiber.
/// Thread    That of the scheduler. From another one, use scheduler_handle::post().
template <class T>
fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
  extend::scheduler& scheduler = extend::current_scheduler();
  auto* state =
      new detail::fiber_state<T>(scheduler, scheduler.root_scope(), std::move(root), where);
  scheduler.adopt(*state);
  return fiber<T>(*state);
}
/// Calls `f(args...)`, which must return a task, in a new fiber, when that fiber begins. `f` and
/// `args` are copied or moved into the fiber and live as long as the fiber, so capturing lambdas
/// and reference parameters are safe here. Wrap arguments in std::ref() to share them. dump() shows
/// where the call was made; with seven or more arguments, only that spawn() made it.
///
/// With g++ 12, first name a capturing lambda or a braced aggregate if spawn() is a part of a
/// co_await expression: there the compiler destroys such temporaries twice (GCC bug 100611).
template <class F>
requires spawnable<F>
auto spawn(F&& f, std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f)), where);
}
// One overload per number of arguments: the default argument for the call site cannot follow a
// pack.
template <class F, class A>
requires spawnable<F, A>
auto spawn(F&& f, A&& a, std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a)), where);
}
template <class F, class A, class B>
requires spawnable<F, A, B>
auto spawn(F&& f, A&& a, B&& b, std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b)),
               where);
}
template <class F, class A, class B, class C>
requires spawnable<F, A, B, C>
auto spawn(F&& f, A&& a, B&& b, C&& c,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c)),
               where);
}
template <class F, class A, class B, class C, class D>
requires spawnable<F, A, B, C, D>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c), std::forward<D>(d)),
               where);
}
template <class F, class A, class B, class C, class D, class E>
requires spawnable<F, A, B, C, D, E>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c), std::forward<D>(d), std::forward<E>(e)),
               where);
}
template <class F, class A, class B, class C, class D, class E, class G>
requires spawnable<F, A, B, C, D, E, G>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                                 std::forward<G>(g)),
               where);
}
// With seven or more arguments, the recorded call site is this function.
template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
requires spawnable<F, A, B, C, D, E, G, H, More...>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, More&&... more) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                                 std::forward<G>(g), std::forward<H>(h),
                                 std::forward<More>(more)...));
}
// For calls that do not compile. The deduced return type forces the static_assert that says why.
template <class F, class... Args>
requires detail::spawns_wrongly<F, Args...>
auto spawn(F&&, Args&&...) {
  detail::explain_wrong_spawn<F, Args...>();
  return fiber<>();
}

}  // namespace ringlet

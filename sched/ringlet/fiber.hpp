// fiber: a scheduled call chain of tasks, and the handle to it.
#pragma once

#include <ringlet/error.hpp>
#include <ringlet/fiber_base.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/wait.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet {

/// Stores the value of a task that succeeded, for handles that may outlive the fiber.
template <class T>
class fiber_value {
 public:
  using type = T;
  void keep(task_promise<T>& root) noexcept(std::is_nothrow_move_constructible_v<T>) {
    value_.emplace(root.take());
  }
  const T& get() const noexcept {
    RINGLET_ASSERT(value_.has_value(), "the value of a fiber was read after it had been moved out");
    return *value_;
  }
  T move_out() {
    RINGLET_ASSERT(value_.has_value(), "the value of a fiber was moved out twice");
    T moved = std::move(*value_);
    value_.reset();
    return moved;
  }

 private:
  std::optional<T> value_;
};

template <class T>
class fiber_value<T&> {
 public:
  void keep(task_promise<T&>& root) noexcept { value_ = std::addressof(root.take()); }
  T& get() const noexcept { return *value_; }
  T& move_out() const noexcept { return *value_; }

 private:
  T* value_ = nullptr;
};

template <>
class fiber_value<void> {
 public:
  void keep(task_promise<void>&) noexcept {}
  void get() const noexcept {}
  void move_out() const noexcept {}
};

/// A fiber whose task returns a T. It owns the call of the task, its root. It needs no member for
/// that: its chain of calls begins at the root, and is back at the root when the fiber has ended.
template <class T>
class fiber_state final : public fiber_base {
 public:
  [[gnu::always_inline]] fiber_state(scheduler& home, scope& around, task<T>&& root,
                                     const std::source_location& spawned_at)
      : fiber_base(home, around, spawned_at) {
    set_root(root.release());
  }
  [[gnu::always_inline]] ~fiber_state() = default;

  static void* operator new(std::size_t size) { return detail::frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    detail::frames.deallocate(memory, size);
  }

  /// The value of a fiber whose outcome is value.
  fiber_value<T>& value() noexcept { return value_; }

 private:
  void destroy() noexcept override { delete this; }

  void collect() noexcept override {
    // The frame is destroyed at the end of this call.
    const task<T> root(static_cast<task_promise<T>&>(*current_wait().at));
    if (!has_started() || root.promise().has_failed()) [[unlikely]] {
      collect_failure(root.promise());
    } else {
      keep_value(root.promise());
    }
  }

  [[gnu::noinline]] void collect_failure(task_promise<T>& root) noexcept {
    if (has_started()) return set_failure(root.error());
    root.chain = nullptr;
    set_never_started();
  }

  void keep_value(task_promise<T>& root) noexcept {
    if constexpr (noexcept(value_.keep(root))) {
      value_.keep(root);
    } else {
      try {
        value_.keep(root);
      } catch (...) {
        return set_failure(std::current_exception());
      }
    }
    set_value();
  }

  [[no_unique_address]] fiber_value<T> value_;
};

/// Waits for the end of a fiber; see fiber<T>::join().
class [[nodiscard]] join_wait : public two_phase_wait, private done_watcher {
 public:
  /// The target need not be kept alive: it lives until it has ended, and the wait does not use it
  /// afterwards.
  join_wait(fiber_base& target, until limit) noexcept
      : two_phase_wait(limit), done_watcher(&join_wait::on_ended), target_(&target) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  /// True if the fiber has ended, false if the limit passed first.
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return reason_ == cancel_reason::none;
  }

  bool try_now() noexcept {
    RINGLET_ASSERT(fiber_ != target_, "a fiber joins itself, so its wait would never end");
    if (target_->done()) return true;
    target_->home().check_thread("a fiber of another thread's scheduler cannot be joined");
    return false;
  }
  void watch() noexcept { target_->watch(*this); }
  void unwatch() noexcept { unlink(); }
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const wait_type type;

 protected:
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }

  fiber_base* target_;

 private:
  static void on_ended(done_watcher& watcher) noexcept;
};

/// A join that asks the fiber to end first; see fiber<T>::kill().
class [[nodiscard]] kill_wait : public join_wait {
 public:
  /// Kills with `error`, or with `cancelled` if it is null.
  kill_wait(fiber_base& target, std::exception_ptr error, until limit) noexcept
      : join_wait(target, limit), error_(std::move(error)) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin_kill(caller.promise());
  }
  /// A kill does more than watch, so it cannot be part of a select().
  void watch() = delete;

 private:
  bool begin_kill(frame_record& at);

  std::exception_ptr error_;
};

/// The error that get() throws for a fiber that ended without a value.
[[noreturn]] void throw_failure(fiber_base& failed);
/// The same; for a killed fiber the message is `killed`.
[[noreturn]] void throw_failure(fiber_base& failed, const char* killed);

/// Waits for the end of a fiber and returns its value; see fiber<T>::get().
template <class T, bool MoveOut>
class [[nodiscard]] get_wait : public join_wait {
 public:
  using value_type = std::conditional_t<MoveOut || std::is_void_v<T> || std::is_reference_v<T>, T,
                                        std::add_lvalue_reference_t<const T>>;

  get_wait(fiber_state<T>& target, until limit) noexcept : join_wait(target, limit) {
    target.add_reference();  // the last handle may be dropped during the wait
  }
  ~get_wait() { target_->drop_reference(); }

  /// A copy of the value, or the std::system_error that the task threw. Any other exception passes
  /// through. Only for values that a result can hold.
  result<std::remove_cvref_t<value_type>> take() requires(
      std::is_void_v<T> ||
      (!std::is_reference_v<T> && std::is_constructible_v<std::remove_cv_t<T>, value_type>)) {
    rethrow_interruption();
    if (!target_->done()) return make_error_code(errc::timed_out);
    try {
      if constexpr (std::is_void_v<T>) {
        yield_value();
        return {};
      } else {
        return yield_value();
      }
    } catch (const std::system_error& error) {
      return error.code();
    }
  }
  value_type await_resume() {
    rethrow_interruption();
    if (!target_->done()) throw timed_out("get");
    return yield_value();
  }

 private:
  value_type yield_value() {
    if (target_->result() != outcome::value) throw_failure(*target_);
    auto& state = static_cast<fiber_state<T>&>(*target_);
    if constexpr (MoveOut) {
      return state.value().move_out();
    } else {
      return state.value().get();
    }
  }
};

/// A handle to a fiber. Copyable and cheap. It does not own the fiber: when the last handle is
/// dropped, the fiber keeps running. The result lives as long as a handle does, even after run()
/// has returned.
///
/// Thread: the scheduler's. Other threads, even several at once, may copy and drop handles, and
/// read the result or name of a fiber that has ended (done() was seen to be true on the scheduler's
/// thread). Killing, joining, naming or watching a live fiber on another thread aborts.
template <class T = void>
class fiber {
 public:
  using value_type = T;

  /// No fiber.
  fiber() noexcept = default;
  /// Takes over one reference.
  explicit fiber(fiber_state<T>& adopted) noexcept : state_(&adopted) {}
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

  explicit operator bool() const noexcept { return state_ != nullptr; }
  friend bool operator==(const fiber& a, const fiber& b) noexcept { return a.state_ == b.state_; }

  /// Waits until the fiber has ended, in any way. Its error is neither thrown nor counted as
  /// observed. Returns false if the limit passed first. A fiber that joins itself aborts: the wait
  /// could never end.
  join_wait join(until limit = forever) const noexcept { return join_wait(checked(), limit); }

  /// Waits until the fiber has ended and returns its value: a reference into the fiber, valid as
  /// long as a handle exists. May be called repeatedly.
  /// Errors  The exception that the task threw, rethrown each time; errc::exited if the fiber was
  /// killed; timed_out.
  get_wait<T, false> get(until limit = forever) const& noexcept {
    return get_wait<T, false>(checked(), limit);
  }
  /// The same for an rvalue handle: moves the value out. Moving it out twice aborts.
  get_wait<T, true> get(until limit = forever) && noexcept {
    return get_wait<T, true>(checked(), limit);
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
  kill_wait kill(until limit = forever) const noexcept { return {checked(), nullptr, limit}; }
  kill_wait kill(std::exception_ptr error, until limit = forever) const noexcept {
    return {checked(), std::move(error), limit};
  }

  /// Calls `f(*this)` or `f()` when the fiber has ended. The call is made on the scheduler's
  /// thread, between fibers, so `f` must not wait or return a task; it may spawn. Callbacks and
  /// joins are served in the order of their registration. If the fiber has already ended, `f` is
  /// called at the end of this turn. One exception stops endless respawning: `f` is not called for
  /// a fiber that was refused because its scope was cancelled, if the callback of another such
  /// fiber spawned it. shutting_down() tells a callback whether the run is ending. An exception
  /// that `f` throws is reported like an unobserved failure of a fiber, and the other callbacks are
  /// still called. Aborts after the scheduler has ended.
  template <class F>
  callback_id on_done(F&& f) const;
  /// Removes a callback. True if it was registered and will not be called.
  bool remove_callback(callback_id id) const noexcept { return checked().remove_callback(id); }

  bool done() const noexcept { return checked().done(); }
  /// How the fiber ended, or pending.
  outcome result() const noexcept { return checked().result(); }
  /// The exception that ended the fiber, or null. Counts as observing the failure.
  std::exception_ptr error() const noexcept { return checked().error(); }
  /// The value that the task returned. Aborts unless result() is outcome::value.
  decltype(auto) value() const noexcept {
    RINGLET_ASSERT(result() == outcome::value, "the value of a fiber without a value was read");
    return checked().value().get();
  }

  /// Unique among the fibers of the scheduler. The main fiber has id 1.
  std::uint64_t id() const noexcept { return checked().id(); }
  /// The name of the fiber in dump() and messages; empty unless set.
  std::string_view name() const noexcept { return checked().name(); }
  void set_name(std::string_view name) const { checked().set_name(name); }

  /// For other parts of the library.
  fiber_state<T>& state() const noexcept { return checked(); }

 private:
  fiber_state<T>& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "an empty fiber handle was used");
    return *state_;
  }

  fiber_state<T>* state_ = nullptr;
};

namespace detail {

/// The return type of a callback of on_done(), called the way on_done() calls it.
template <class F, class T>
using answer_of_callback = typename std::conditional_t<std::invocable<F&, const fiber<T>&>,
                                                       std::invoke_result<F&, const fiber<T>&>,
                                                       std::invoke_result<F&>>::type;

// Keeps the handle that it passes to the callback, and so keeps the fiber alive.
template <class T, class F>
class done_function final : public done_callback {
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
  fiber_base& target() const noexcept override { return target_.state(); }

  fiber<T> target_;
  F function_;
};

}  // namespace detail

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
/// owns it. Aborts outside of run().
template <class T>
fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
  scheduler& home = current_scheduler();
  auto* state = new fiber_state<T>(home, home.root_scope(), std::move(root), where);
  home.adopt(*state);
  return fiber<T>(*state);
}

namespace detail {

// Keeps the callable and the arguments in the frame of the fiber's root.
template <class F, class... Args>
std::invoke_result_t<F, Args...> call_inside(F f, Args... args) {
  co_return co_await std::invoke(std::move(f), std::move(args)...);
}

template <class F, class... Args>
concept makes_task = std::invocable<std::decay_t<F>, std::decay_t<Args>...> &&
    is_task<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;

/// Calls that look valid but that spawn() rejects: `f` takes a reference to an argument that the
/// fiber copies, or does not return a task.
template <class F, class... Args>
concept wants_reference = !makes_task<F, Args...> &&
                          std::invocable<std::decay_t<F>&, std::remove_reference_t<Args>&...> &&
                          !std::invocable<std::decay_t<F>, std::decay_t<Args>...>;
template <class F, class... Args>
concept makes_no_task =
    !makes_task<F, Args...> && std::invocable<std::decay_t<F>, std::decay_t<Args>...>;
template <class F, class... Args>
concept spawns_wrongly = wants_reference<F, Args...> || makes_no_task<F, Args...>;

/// Says what is wrong with such a call.
template <class F, class... Args>
constexpr auto explain_wrong_spawn() {
  static_assert(!wants_reference<F, Args...>,
                "this function takes a parameter by reference, and a fiber has its own copies of "
                "the arguments: wrap what is to be shared in std::ref()");
  static_assert(!makes_no_task<F, Args...>,
                "the function of a fiber must return a task: write -> task<> and use co_await or "
                "co_return in it");
}

/// The task of a fiber that calls `f(args...)`.
template <class F, class... Args>
auto make_call(F&& f, Args&&... args) {
  using callable = std::decay_t<F>;
  if constexpr (sizeof...(Args) == 0 &&
                (std::is_pointer_v<callable> || std::is_empty_v<callable>)) {
    return f();  // nothing to keep
  } else {
    return call_inside<callable, std::decay_t<Args>...>(std::forward<F>(f),
                                                        std::forward<Args>(args)...);
  }
}

}  // namespace detail

/// Calls `f(args...)`, which must return a task, in a new fiber, when that fiber begins. `f` and
/// `args` are copied or moved into the fiber and live as long as the fiber, so capturing lambdas
/// and reference parameters are safe here. Wrap arguments in std::ref() to share them.
///
/// With g++ 12, do not call spawn() inside a co_await expression: there the compiler destroys
/// temporaries such as capturing lambdas twice (GCC bug 100611).
template <class F>
requires detail::makes_task<F>
auto spawn(F&& f, std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f)), where);
}
// One overload per number of arguments: the default argument for the call site cannot follow a
// pack.
template <class F, class A>
requires detail::makes_task<F, A>
auto spawn(F&& f, A&& a, std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a)), where);
}
template <class F, class A, class B>
requires detail::makes_task<F, A, B>
auto spawn(F&& f, A&& a, B&& b, std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b)),
               where);
}
template <class F, class A, class B, class C>
requires detail::makes_task<F, A, B, C>
auto spawn(F&& f, A&& a, B&& b, C&& c,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c)),
               where);
}
template <class F, class A, class B, class C, class D>
requires detail::makes_task<F, A, B, C, D>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c), std::forward<D>(d)),
               where);
}
template <class F, class A, class B, class C, class D, class E>
requires detail::makes_task<F, A, B, C, D, E>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c), std::forward<D>(d), std::forward<E>(e)),
               where);
}
template <class F, class A, class B, class C, class D, class E, class G>
requires detail::makes_task<F, A, B, C, D, E, G>
auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g,
           std::source_location where = std::source_location::current()) {
  return spawn(detail::make_call(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                                 std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                                 std::forward<G>(g)),
               where);
}
// With seven arguments and more the place that is recorded is this one.
template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
requires detail::makes_task<F, A, B, C, D, E, G, H, More...>
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

/// Adds these overloads to a derived class that has a spawn() for tasks.
template <class Self>
class spawns_calls {
 public:
  template <class F, class... Args>
  requires detail::spawns_wrongly<F, Args...>
  auto spawn(F&&, Args&&...) {
    detail::explain_wrong_spawn<F, Args...>();
    return fiber<>();
  }
  /// Whether calls are made inside co_await expressions, where g++ 12 destroys some callables
  /// twice.
  static constexpr bool spawn_is_awaited = false;

  template <class F>
  requires detail::makes_task<F>
  auto spawn(F&& f, std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f));
  }
  template <class F, class A>
  requires detail::makes_task<F, A>
  auto spawn(F&& f, A&& a, std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires detail::makes_task<F, A, B>
  auto spawn(F&& f, A&& a, B&& b, std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  requires detail::makes_task<F, A, B, C>
  auto spawn(F&& f, A&& a, B&& b, C&& c,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D>
  requires detail::makes_task<F, A, B, C, D>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c), std::forward<D>(d));
  }
  template <class F, class A, class B, class C, class D, class E>
  requires detail::makes_task<F, A, B, C, D, E>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class F, class A, class B, class C, class D, class E, class G>
  requires detail::makes_task<F, A, B, C, D, E, G>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c), std::forward<D>(d), std::forward<E>(e), std::forward<G>(g));
  }
  // With seven arguments and more the place that is recorded is this one.
  template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
  requires detail::makes_task<F, A, B, C, D, E, G, H, More...>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, More&&... more) {
    return pass_on(std::source_location::current(), std::forward<F>(f), std::forward<A>(a),
                   std::forward<B>(b), std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                   std::forward<G>(g), std::forward<H>(h), std::forward<More>(more)...);
  }

 private:
  template <class F, class... Args>
  auto pass_on(const std::source_location& where, F&& f, Args&&... args) {
    if constexpr (Self::spawn_is_awaited) detail::check_temporary<F>();
    return static_cast<Self&>(*this).spawn(
        detail::make_call(std::forward<F>(f), std::forward<Args>(args)...), where);
  }
};

}  // namespace ringlet

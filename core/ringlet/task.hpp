// task<T>: a lazy coroutine call.
#pragma once

#include <ringlet/assert.hpp>
#include <ringlet/context.hpp>
#include <ringlet/detail/returned.hpp>
#include <ringlet/frame_pool.hpp>

#include <bit>
#include <coroutine>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet {

template <class T = void>
class task;
template <class T = void>
class borrowing_task;

/// Something whose await_* functions fit a `co_await` in a task.
template <class A>
concept awaiter = requires(A a) {
  a.await_ready();
  a.await_resume();
};

/// Resumes the awaiting coroutine, or ends the chain.
struct final_awaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
    frame_record& record = done.promise();
    if (record.parent != nullptr) [[likely]] {
      record.chain->return_to(*record.parent);
      return transfer(*record.parent);
    }
    record.chain->return_to(record);  // a greenlet may have been left where it had waited
    record.chain->on_root_done();
    return std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

/// What awaits a task: starts it, and returns its result.
template <class T>
class task_awaiter {
 public:
  using promise = typename task<T>::promise_type;

  explicit task_awaiter(promise* callee) noexcept : callee_(callee) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    frame_record& record = caller.promise();
    callee_->parent = &record;
    callee_->chain = record.chain;
    return transfer(*callee_);
  }
  T await_resume() { return callee_->take(); }

 private:
  promise* callee_;
};

/// Awaits an awaiter that lives in the caller's full expression. By value and by pointer: g++ 12
/// copies awaiters that await_transform returns by reference.
template <class A>
class borrowed_awaiter {
 public:
  explicit borrowed_awaiter(A& inner) noexcept : inner_(&inner) {}
  decltype(auto) await_ready() noexcept(noexcept(std::declval<A&>().await_ready())) {
    return inner_->await_ready();
  }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> caller) {
    return inner_->await_suspend(caller);
  }
  decltype(auto) await_resume() { return inner_->await_resume(); }

 private:
  A* inner_;
};

namespace detail {

/// A place in the source, as the compiler names it: what a std::source_location consists of. g++
/// keeps a default argument of class type in the frame of the caller, 8 or 16 bytes for each
/// `co_await`; a pointer it does not.
using source_place = decltype(__builtin_source_location());

inline std::source_location location_of(source_place place) noexcept {
  return std::bit_cast<std::source_location>(place);
}

}  // namespace detail

/// What the promises of all tasks share.
class task_promise_base : public frame_record, public detail::pooled_frame {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }
  final_awaiter final_suspend() const noexcept { return {}; }

  template <class U>
  task_awaiter<U> await_transform(
      task<U>&& callee, detail::source_place where = __builtin_source_location()) noexcept {
    site = detail::location_of(where);
    return task_awaiter<U>(callee.promise_to_start());
  }
  template <class U>
  task_awaiter<U> await_transform(
      task<U>& callee, detail::source_place where = __builtin_source_location()) noexcept {
    site = detail::location_of(where);
    return task_awaiter<U>(callee.promise_to_start());
  }
  template <class U>
  task_awaiter<U> await_transform(
      borrowing_task<U>&& callee,
      detail::source_place where = __builtin_source_location()) noexcept {
    return await_transform(static_cast<task<U>&&>(callee), where);
  }
  template <class U>
  task_awaiter<U> await_transform(
      borrowing_task<U>& callee,
      detail::source_place where = __builtin_source_location()) noexcept {
    static_assert(!std::is_same_v<U, U>,
                  "this call borrows what it was given, which may be gone: await it in the "
                  "expression that makes it, or write co_await std::move(call) if all that it was "
                  "given lives longer");
    return await_transform(static_cast<task<U>&>(callee), where);
  }
  template <awaiter A>
  borrowed_awaiter<std::remove_reference_t<A>> await_transform(
      A&& inner, detail::source_place where = __builtin_source_location()) noexcept {
    static_assert(!std::is_lvalue_reference_v<A>,
                  "a wait is awaited once, in the expression that makes it, because it borrows "
                  "what it was given: write co_await std::move(wait) if all that it was given "
                  "lives longer");
    site = detail::location_of(where);
    return borrowed_awaiter<std::remove_reference_t<A>>(inner);
  }
  /// For everything else: says what to write instead.
  template <class X>
  requires(!awaiter<X>) auto await_transform(X&&) noexcept {
    constexpr bool is_fiber = requires(X & handle) {
      handle.join();
      handle.get();
    };
    static_assert(!is_fiber,
                  "a fiber cannot be awaited: write co_await f.get() for its value and its error, "
                  "or co_await f.join() for its end");
    static_assert(is_fiber, "only tasks and waits can be awaited");
    return std::suspend_never();
  }
};

/// The promise of a task: what all share, and what this one returned or threw.
template <class T>
class task_promise : public task_promise_base, public detail::returned<T> {
 public:
  task_promise() noexcept {
    detail::check_promise<task_promise>();
    this->check_frame(this->self().address());
  }
  task<T> get_return_object() noexcept { return task<T>(*this); }
  void unhandled_exception() noexcept { fail(std::current_exception()); }
  void fail(std::exception_ptr error) noexcept {
    detail::note_failure(*this);
    detail::returned<T>::fail(std::move(error));
  }
};

/// A coroutine call that has not run yet: `co_await` runs it in the caller's fiber, and returns
/// its value or rethrows what it throws. Await it once; dropped unawaited, its body never runs.
///
/// Arguments that the coroutine takes by reference must outlive it, so write
/// `co_await f(g())` freely, but keep a task in a variable only when its arguments live longer.
/// A capturing lambda that is a coroutine reads its captures from the closure: the closure must
/// outlive the task, too.
///
/// Awaiting a task is not a wait: it is neither a checkpoint nor a turn of other fibers. Calls may
/// nest and return synchronously to any depth and in any number; the stack grows by 64 KiB at most.
///
/// Results, arguments and locals are aligned as their types say, up to 4096 bytes. A result that
/// asks for more does not compile; for a local no compiler tells, and it is not aligned. (Only 16
/// bytes are honoured by clang without optimisation, whose frames have a size that tells nothing of
/// it, and only 64 under AddressSanitizer.) Thread: that of the fiber which awaits it. Frames come
/// from a pool of that thread.
template <class T>
class [[nodiscard]] task {
 public:
  using value_type = T;
  using promise_type = task_promise<T>;

  task(task&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      destroy();
      promise_ = std::exchange(other.promise_, nullptr);
    }
    return *this;
  }
  ~task() { destroy(); }

  /// For the code that awaits or spawns it: the promise of a call that has not been started.
  task_promise<T>* promise_to_start() const noexcept {
    RINGLET_ASSERT(promise_ != nullptr, "an empty task (moved from) was awaited or spawned");
    RINGLET_ASSERT(promise_->chain == nullptr, "a task was awaited or spawned twice");
    return promise_;
  }

  /// For the code that runs it as the root of a chain: where the result is.
  task_promise<T>& promise() const noexcept { return *promise_; }
  /// For the same: gives up a call that has not been started, and takes one back.
  task_promise<T>& release() noexcept {
    task_promise<T>* const released = promise_to_start();
    promise_ = nullptr;
    return *released;
  }
  explicit task(task_promise<T>& released) noexcept : promise_(&released) {}

 private:
  void destroy() noexcept {
    if (promise_ == nullptr) return;
    const auto call = std::coroutine_handle<task_promise<T>>::from_promise(*promise_);
    RINGLET_ASSERT(call.done() || promise_->chain == nullptr,
                   "a task was destroyed while it was suspended: fibers end by unwinding only");
    call.destroy();
  }

  task_promise<T>* promise_;
};

/// A task that borrows arguments which may be temporaries, such as that of with_group(f). It is
/// awaited in the expression that makes it: `co_await` of a variable does not compile. One that is
/// kept on purpose, because all it was given lives longer, is awaited with `co_await
/// std::move(call)`, or kept as a task<T>. Apart from that it is a task.
template <class T>
class [[nodiscard]] borrowing_task : public task<T> {
 public:
  borrowing_task(task<T>&& call) noexcept : task<T>(std::move(call)) {}
};

namespace detail {

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;
template <class T>
inline constexpr bool is_task<borrowing_task<T>> = true;

/// Whether a T that is only dropped does nothing, because it would have to be awaited.
template <class T>
inline constexpr bool is_unawaited =
    is_task<std::remove_cvref_t<T>> || awaiter<std::remove_cvref_t<T>>;

/// For calls that are awaited and take a callable as F&&: refuses what g++ 12 gets wrong.
template <class F>
constexpr void check_temporary() noexcept {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
  static_assert(std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>,
                "g++ before 13 destroys this temporary twice inside a co_await expression (GCC bug "
                "100611): name the callable first, auto f = [...] {...};");
#endif
}

}  // namespace detail
}  // namespace ringlet

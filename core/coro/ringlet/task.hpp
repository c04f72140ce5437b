// task<T>: a lazy coroutine call.
#pragma once

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/detail/returned.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/context.hpp>

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

}  // namespace ringlet

namespace ringlet::extend {

/// A type whose await_* functions allow `co_await` in a task.
template <class A>
concept awaiter = requires(A a) {
  a.await_ready();
  a.await_resume();
};

}  // namespace ringlet::extend

namespace ringlet::detail {

/// Resumes the awaiting coroutine, or ends the chain.
struct final_awaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
    extend::frame_record& record = done.promise();
    if (record.parent != nullptr) [[likely]] {
      record.chain->return_to(*record.parent);
      return extend::transfer(*record.parent);
    }
    record.chain->return_to(record);  // the wait may still refer to a greenlet
    record.chain->on_root_done();
    return std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

/// The awaiter of a task: starts it and returns its result.
template <class T>
class task_awaiter {
 public:
  using promise = typename task<T>::promise_type;

  explicit task_awaiter(promise* callee) noexcept : callee_(callee) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    extend::frame_record& record = caller.promise();
    callee_->parent = &record;
    callee_->chain = record.chain;
    return extend::transfer(*callee_);
  }
  T await_resume() { return callee_->take(); }

 private:
  promise* callee_;
};

}  // namespace ringlet::detail

namespace ringlet::extend {

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

}  // namespace ringlet::extend

namespace ringlet::detail {

/// A place in the source, as the compiler represents it inside a std::source_location. g++ keeps a
/// default argument of class type in the frame of the caller, 8 or 16 bytes for each `co_await`; it
/// does not keep a pointer.
using source_place = decltype(__builtin_source_location());

inline std::source_location location_of(source_place place) noexcept {
  return std::bit_cast<std::source_location>(place);
}

/// What the promises of all tasks share.
class task_promise_base : public extend::frame_record, public detail::pooled_frame {
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
  template <extend::awaiter A>
  extend::borrowed_awaiter<std::remove_reference_t<A>> await_transform(
      A&& inner, detail::source_place where = __builtin_source_location()) noexcept {
    static_assert(!std::is_lvalue_reference_v<A>,
                  "a wait is awaited once, in the expression that makes it, because it borrows "
                  "what it was given: write co_await std::move(wait) if all that it was given "
                  "lives longer");
    site = detail::location_of(where);
    return extend::borrowed_awaiter<std::remove_reference_t<A>>(inner);
  }
  /// For everything else: says what to write instead.
  template <class X>
  requires(!extend::awaiter<X>) auto await_transform(X&&) noexcept {
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

/// The promise of a task; holds what the task returned or threw.
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

}  // namespace ringlet::detail

namespace ringlet {

/// A coroutine call that has not run yet. `co_await` runs it in the caller's fiber, and returns its
/// value or rethrows its exception. Await it once. If it is dropped without being awaited, its body
/// never runs.
///
/// Arguments that the coroutine takes by reference must outlive it. So `co_await f(g())` is always
/// fine, but keep a task in a variable only if its arguments live longer. A capturing lambda that
/// is a coroutine reads its captures from the closure: the closure must outlive the task, too.
///
/// Awaiting a task is not a wait: it is not a checkpoint, and other fibers do not run. Calls may
/// nest and return synchronously to any depth and in any number; the stack grows by at most 64 KiB.
///
/// Results, arguments and locals are aligned as their types say, up to 4096 bytes. A result with a
/// larger alignment does not compile. Compilers do not report the alignment of a local, so a local
/// with a larger one is not aligned. (clang without optimisation honours only 16 bytes, because its
/// frame sizes do not reflect alignment; under AddressSanitizer, only 64 bytes are honoured.)
/// Thread: that of the fiber that awaits it. Frames come from a pool of that thread.
template <class T>
class [[nodiscard]] task {
 public:
  using value_type = T;
  using promise_type = detail::task_promise<T>;

  task(task&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      destroy();
      promise_ = std::exchange(other.promise_, nullptr);
    }
    return *this;
  }
  ~task() { destroy(); }

  /// For code that awaits or spawns the task: the promise of a call that has not been started.
  detail::task_promise<T>* promise_to_start() const noexcept {
    RINGLET_ASSERT(promise_ != nullptr, "an empty task (moved from) was awaited or spawned");
    RINGLET_ASSERT(promise_->chain == nullptr, "a task was awaited or spawned twice");
    return promise_;
  }

  /// For code that runs the task as the root of a chain: the promise, which holds the result.
  detail::task_promise<T>& promise() const noexcept { return *promise_; }
  /// For the same code: releases a call that has not been started; the constructor below adopts
  /// one.
  detail::task_promise<T>& release() noexcept {
    detail::task_promise<T>* const released = promise_to_start();
    promise_ = nullptr;
    return *released;
  }
  explicit task(detail::task_promise<T>& released) noexcept : promise_(&released) {}

 private:
  void destroy() noexcept {
    if (promise_ == nullptr) return;
    const auto call = std::coroutine_handle<detail::task_promise<T>>::from_promise(*promise_);
    RINGLET_ASSERT(call.done() || promise_->chain == nullptr,
                   "a task was destroyed while it was suspended: fibers end by unwinding only");
    call.destroy();
  }

  detail::task_promise<T>* promise_;
};

/// A task that borrows arguments which may be temporaries, such as that of with_group(f). Await it
/// in the expression that makes it: `co_await` of a variable does not compile. To keep one on
/// purpose, because all its arguments live longer, await it with `co_await std::move(call)`, or
/// store it as a task<T>. Otherwise it is a task.
template <class T>
class [[nodiscard]] borrowing_task : public task<T> {
 public:
  borrowing_task(task<T>&& call) noexcept : task<T>(std::move(call)) {}
};

}  // namespace ringlet

namespace ringlet::detail {

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;
template <class T>
inline constexpr bool is_task<borrowing_task<T>> = true;

/// Whether dropping a T does nothing because it must be awaited.
template <class T>
inline constexpr bool is_unawaited =
    is_task<std::remove_cvref_t<T>> || extend::awaiter<std::remove_cvref_t<T>>;

/// For awaited calls that take a callable as F&&: rejects temporaries that g++ 12 destroys twice.
template <class F>
constexpr void check_temporary() noexcept {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
  static_assert(std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>,
                "g++ before 13 destroys this temporary twice inside a co_await expression (GCC bug "
                "100611): name the callable first, auto f = [...] {...};");
#endif
}

}  // namespace ringlet::detail

// task<T>: a lazy coroutine call.
//
//     task<int> twice(int number) {
//       co_await work();
//       co_return 2 * number;
//     }
//
//     task<> print() {
//       const int ten = co_await twice(5);
//       show(ten);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/detail/returned.hpp>
#include <ringlet/detail/task_promise.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/awaiter.hpp>
#include <ringlet/extend/context.hpp>

#include <coroutine>
#include <type_traits>
#include <utility>

namespace ringlet {

/// A coroutine call that has not run yet. `co_await` runs it in the caller's fiber, and returns its
/// value or rethrows its exception. Await it once; a second time aborts. If it is dropped without
/// being awaited, its body never runs.
///
/// Awaiting a task is not a wait: it is not a checkpoint, and other fibers do not run. Calls may
/// nest and return synchronously to any depth and in any number; the stack grows by at most 64 KiB.
///
/// Results, arguments and locals are aligned as their types say, up to 4096 bytes. A result with a
/// larger alignment does not compile. Compilers do not report the alignment of a local, so a local
/// with a larger one is not aligned. (clang without optimisation honours only 16 bytes, because its
/// frame sizes do not reflect alignment; under AddressSanitizer, only 64 bytes are honoured.)
///
/// Errors    The exception of the body, thrown by co_await. Calling the coroutine throws
///           std::bad_alloc.
/// Cancellation  A kill is not thrown by the co_await of a task, but by a wait inside, and unwinds
///           the call like any exception.
/// Lifetime  Arguments that the coroutine takes by reference must outlive it. So `co_await f(g())`
///           is always fine, but keep a task in a variable only if its arguments live longer. A
///           capturing lambda that is a coroutine reads its captures from the closure: the closure
///           must outlive the task, too. A task that is destroyed while it is suspended aborts.
/// Thread    That of the fiber that awaits it.
/// Memory    The frame, from the pool of the thread that makes the call. It is freed with the task.
template <class T>
class [[gnu::warn_unused]] task {
 public:
  /// The type of the value that co_await returns.
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
  task(const task&) = delete;  // a call is made once: write std::move(call)
  task& operator=(const task&) = delete;
  ~task() { destroy(); }

  /// For code that awaits or spawns the task: the promise of a call that has not been started.
  detail::task_promise<T>* promise_to_start() const noexcept {
    RINGLET_ASSERT(promise_ != nullptr, "an empty task (moved from) was awaited or spawned");
    RINGLET_ASSERT(promise_->chain == nullptr, "a task was awaited or spawned twice");
    return promise_;
  }

  /// For code that runs the task as the root of a chain: the promise, which holds the result.
  detail::task_promise<T>& promise() const noexcept { return *promise_; }
  /// For the same code: releases a call that has not been started.
  detail::task_promise<T>& release() noexcept {
    detail::task_promise<T>* const released = promise_to_start();
    promise_ = nullptr;
    return *released;
  }
  /// For the same code: adopts a call.
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
/// in the expression that makes it: `co_await` of a variable does not compile. If all its arguments
/// live longer, it may be kept: await it with `co_await std::move(call)`, or store it as a task<T>.
/// In all other respects it is a task.
template <class T>
class [[gnu::warn_unused]] borrowing_task : public task<T> {
 public:
  /// Marks a task whose arguments may be temporaries.
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

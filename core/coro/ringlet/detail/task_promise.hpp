// The promise of a task, and what awaits it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/detail/returned.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/awaiter.hpp>
#include <ringlet/extend/context.hpp>

#include <bit>
#include <coroutine>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet {

// The attributes are here because clang-format takes a class with such a text for something else.
template <class T = void>
class [[nodiscard("co_await it, or spawn() it")]] task;
template <class T = void>
class [[nodiscard("co_await it")]] borrowing_task;

}  // namespace ringlet

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
    static_assert(
        !std::is_same_v<U, U>,
        "this call borrows its arguments, which may be gone: await it in the expression that makes "
        "it, or write co_await std::move(call) if all its arguments live longer");
    return await_transform(static_cast<task<U>&>(callee), where);
  }
  template <extend::awaiter A>
  extend::borrowed_awaiter<std::remove_reference_t<A>> await_transform(
      A&& inner, detail::source_place where = __builtin_source_location()) noexcept {
    static_assert(!std::is_lvalue_reference_v<A>,
                  "a wait is awaited once, in the expression that makes it, because it borrows its "
                  "arguments: write co_await std::move(wait) if all of them live longer");
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

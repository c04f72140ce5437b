// greenlet_driver: the coroutine at the bottom of the calls of a greenlet, which runs its body.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/greenlet_base.hpp>
#include <ringlet/detail/settled.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

template <class T, class F, class... Args>
struct body_of : std::invoke_result<F, Args..., T> {};
template <class F, class... Args>
struct body_of<void, F, Args...> : std::invoke_result<F, Args...> {};

/// Begins the body with the first value, and delivers its outcome to the parent.
struct greenlet_driver {
  struct promise_type : task_promise_base {
    promise_type() noexcept { check_promise<promise_type>(); }
    promise_type(const promise_type&) = delete;
    promise_type& operator=(const promise_type&) = delete;

    struct final_wait {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(
          std::coroutine_handle<promise_type> ended) const noexcept {
        return ended.promise().owner->finish(
            {arrival::thrown, nullptr, nullptr, std::move(ended.promise().failure)});
      }
      void await_resume() const noexcept {}
    };

    greenlet_driver get_return_object() noexcept { return {this}; }
    final_wait final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { failure = std::current_exception(); }

    greenlet_base* owner = nullptr;
    std::exception_ptr failure;
  };

  promise_type* promise;
};

/// Ends a greenlet whose body has returned. It is never resumed: the driver is destroyed when the
/// value has been taken.
template <class T>
class last_wait {
 public:
  last_wait(greenlet_base& ended, task<T>& body) noexcept
      : ended_(&ended), promise_(&body.promise()) {}
  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<>) const noexcept {
    return ended_->finish({arrival::returned, promise_, &type_tag<T>});
  }
  void await_resume() const noexcept {}

 private:
  greenlet_base* ended_;
  task_promise<T>* promise_;
};

template <class T, class F, class... Args>
task<T> call_body(F& f, Args&... args, value_or_unit<T>& first) {
  if constexpr (std::is_void_v<T>) {
    return std::invoke(std::move(f), std::move(args)...);
  } else {
    return std::invoke(std::move(f), std::move(args)..., std::move(first));
  }
}

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 warns when the frame holds a lambda that has no linkage.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif
// The callable, its arguments and the first value live here while the body runs, so the body may
// refer to them.
template <class T, class F, class... Args>
greenlet_driver drive(greenlet_base& me, F f, Args... args) {
  [[maybe_unused]] value_or_unit<T> first = me.receive<T>();
  task<T> body = call_body<T, F, Args...>(f, args..., first);
  co_await settled<T>(body);
  if (std::exception_ptr error = body.promise().error()) std::rethrow_exception(std::move(error));
  co_await last_wait<T>(me, body);
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

template <class T>
value_or_unit<T> greenlet_base::receive_end() {
  auto& promise = *static_cast<task_promise<T>*>(receive_slowly());
  struct free_on_exit {
    greenlet_tree& tree;
    ~free_on_exit() { tree.free_finished(); }
  } const last{*tree};
  if constexpr (std::is_void_v<T>) {
    promise.take();
    return {};
  } else {
    return promise.take();
  }
}

}  // namespace ringlet::detail

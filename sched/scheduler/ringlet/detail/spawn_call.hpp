// The task of a fiber that calls a function, and the compile-time messages for calls that spawn()
// rejects.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/awaiter.hpp>
#include <ringlet/spawnable.hpp>

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

#if defined(__GNUC__) && !defined(__clang__)
// g++ warns when the frame, whose type is of this header, holds a lambda of the user's file.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif
// Keeps the callable and the arguments in the frame of the fiber's root.
template <class F, class... Args>
std::invoke_result_t<F, Args...> call_inside(F f, Args... args) {
  co_return co_await std::invoke(std::move(f), std::move(args)...);
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/// Calls that look valid but that spawn() rejects: `f` takes a reference to an argument that the
/// fiber copies, or does not return a task.
template <class F, class... Args>
concept wants_reference =
    !spawnable<F, Args...> && std::invocable<std::decay_t<F>&, std::remove_reference_t<Args>&...> &&
    !std::invocable<std::decay_t<F>, std::decay_t<Args>...>;
template <class F, class... Args>
concept makes_no_task =
    !spawnable<F, Args...> && std::invocable<std::decay_t<F>, std::decay_t<Args>...>;
template <class F>
concept is_a_wait = extend::awaiter<std::remove_reference_t<F>>;
template <class F, class... Args>
concept spawns_wrongly = wants_reference<F, Args...> || makes_no_task<F, Args...> || is_a_wait<F>;

/// Explains at compile time what is wrong with such a call.
template <class F, class... Args>
constexpr auto explain_wrong_spawn() {
  static_assert(!wants_reference<F, Args...>,
                "this function takes a parameter by reference, and a fiber has its own copies of "
                "the arguments: wrap shared arguments in std::ref()");
  static_assert(!makes_no_task<F, Args...>,
                "the function of a fiber must return a task: write -> task<> and use co_await or "
                "co_return in it");
  static_assert(!is_a_wait<F>,
                "a fiber runs a task, and this is a wait: write a function that returns task<> and "
                "awaits it, and spawn that");
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

}  // namespace ringlet::detail

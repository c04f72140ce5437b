// spawnable: which calls a fiber can be made of.
//
//     template <class F>
//     requires spawnable<F, job>
//     task<> work_on_each(queue<job>& jobs, F work) {
//       for (;;) spawn(work, co_await jobs.pop());
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/task.hpp>

#include <concepts>
#include <type_traits>

namespace ringlet {

/// Whether spawn(f, args...) compiles: `f` can be called with copies of `args`, and returns a task.
template <class F, class... Args>
concept spawnable = std::invocable<std::decay_t<F>, std::decay_t<Args>...> &&
    detail::is_task<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;

}  // namespace ringlet

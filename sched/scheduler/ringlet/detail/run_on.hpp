// run_on: run() on an engine that the caller provides.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/options.hpp>
#include <ringlet/task.hpp>

#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// Throws the deadlock that ended the main task, or reports one that the main task survived.
void throw_deadlock_of(extend::scheduler& scheduler, extend::fiber_base& main);

// Runs `main` on the given engine, after calling `prepare` with the scheduler.
template <class T>
T run_on(extend::engine& engine, task<T> main, options settings, const std::source_location& where,
         void (*prepare)(extend::scheduler&) = nullptr) {
  extend::scheduler scheduler(engine, std::move(settings));
  if (prepare != nullptr) prepare(scheduler);
  fiber<T> root(*new fiber_state<T>(scheduler, scheduler.main_scope(), std::move(main), where));
  scheduler.run(root.state());
  throw_deadlock_of(scheduler, root.state());
  if (root.result() != outcome::value) throw_failure(root.state(), "the main task was killed");
  if constexpr (std::is_reference_v<T>) {
    return root.state().value().get();
  } else {
    return root.state().value().move_out();
  }
}

}  // namespace ringlet::detail

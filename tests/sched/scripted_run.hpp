// A scheduler on a chosen engine, and a wait that only the test can complete.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/operation_wait.hpp>
#include <ringlet/run.hpp>

#include <coroutine>
#include <cstdint>
#include <source_location>
#include <utility>

#include "support/scripted_engine.hpp"

namespace ringlet::test {
using namespace extend;

/// run() on that engine.
template <class T>
T run_on(extend::engine& engine, task<T> main, options settings = {},
         std::source_location where = std::source_location::current()) {
  return detail::run_on(engine, std::move(main), std::move(settings), where);
}

/// Reads from a descriptor that does not exist, so that only the test can complete it. Returns the
/// answer.
class [[nodiscard]] probe_wait : public operation_wait {
 public:
  explicit probe_wait(std::int32_t descriptor = 7, time_limit timeout = forever) noexcept
      : operation_wait(opcode::read, &operation_wait::on_done, timeout) {
    fd = descriptor;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_operation(type, caller.promise());
  }
  result<std::int32_t> take() {
    rethrow_interruption_before_start();
    if (answer < 0) return failure();
    return answer;
  }
  std::int32_t await_resume() {
    const result<std::int32_t> taken = take();
    if (!taken) throw_error(taken.error(), type.name);
    return *taken;
  }

 private:
  static const wait_type type;
};

inline const wait_type probe_wait::type = make_type<probe_wait>("probe");

/// See probe_wait.
inline probe_wait probe(std::int32_t descriptor = 7, time_limit timeout = forever) noexcept {
  return probe_wait(descriptor, timeout);
}

}  // namespace ringlet::test

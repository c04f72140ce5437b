// Reads the engine's clock if there is an engine.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/now.hpp>

namespace ringlet {
using namespace extend;

std::chrono::steady_clock::time_point now() noexcept {
  extend::scheduler* const here = current_scheduler_or_null();
  if (here == nullptr) return std::chrono::steady_clock::now();
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(here->now()));
}

}  // namespace ringlet

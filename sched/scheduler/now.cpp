// Reads the engine's clock if there is an engine.
#include <ringlet/now.hpp>
#include <ringlet/scheduler.hpp>

namespace ringlet {

std::chrono::steady_clock::time_point now() noexcept {
  scheduler* const here = current_scheduler_or_null();
  if (here == nullptr) return std::chrono::steady_clock::now();
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(here->now()));
}

}  // namespace ringlet

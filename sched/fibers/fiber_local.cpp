// Numbers for variables.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber_local.hpp>

#include <atomic>

namespace ringlet {

std::uint64_t detail::next_variable() noexcept {
  static std::atomic<std::uint64_t> variables = 0;
  return ++variables;
}

}  // namespace ringlet

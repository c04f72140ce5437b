// How many times exceptions have begun to unwind in this process: thrown or rethrown.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "support/sanitized.hpp"

namespace ringlet::test {

// Sanitizers replace the function that counts with their own.
inline constexpr bool counts_throws = !sanitized;

std::uint64_t throws_so_far() noexcept;

}  // namespace ringlet::test

// How often an exception has begun to unwind in this process: thrown, or thrown anew.
#pragma once

#include <cstdint>

#include "support/sanitized.hpp"

namespace ringlet::test {

// Sanitizers put their own function in the place of the one that counts.
inline constexpr bool counts_throws = !sanitized;

std::uint64_t throws_so_far() noexcept;

}  // namespace ringlet::test

// How often this test program has called operator new.
#pragma once

#include <cstddef>

namespace ringlet::test {

/// The calls of this thread so far. Sanitizers keep their own operator new, and the count at 0.
std::size_t allocations() noexcept;

/// Whether they are counted in this build.
bool allocations_are_counted() noexcept;

}  // namespace ringlet::test

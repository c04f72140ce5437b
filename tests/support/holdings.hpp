// What this process holds and has to return: memory, coroutine frames, descriptors.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>

namespace ringlet::test {

/// The kinds of resources that are counted.
inline constexpr std::array holding_names = {
    "heap blocks",      // of operator new
    "heap bytes",       //
    "bytes of frames",  // and of fibers: blocks of the frame pool
    "mapped bytes",     // buffers, and the rings that hold them
    "descriptors",
};

/// The amount of each, in that order.
using holdings = std::array<std::ptrdiff_t, holding_names.size()>;

/// Of all threads. Free blocks that another thread keeps count as frames.
holdings held_now() noexcept;

}  // namespace ringlet::test

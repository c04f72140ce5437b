// What this process holds and has to give back: memory, coroutine frames, descriptors.
#pragma once

#include <array>
#include <cstddef>

namespace ringlet::test {

/// The kinds of things that are counted.
inline constexpr std::array holding_names = {
    "heap blocks",      // of operator new
    "heap bytes",       //
    "bytes of frames",  // and of fibers: blocks of the frame pool
    "mapped bytes",     // buffers, and the rings that hold them
    "descriptors",
};

/// How much of each, in that order.
using holdings = std::array<std::ptrdiff_t, holding_names.size()>;

/// Of all threads. What another thread keeps of free blocks counts as frames.
holdings held_now() noexcept;

}  // namespace ringlet::test

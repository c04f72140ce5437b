// The limit on open descriptors, which is the limit on connections.
#pragma once

#include <cstddef>

namespace ringlet {

/// Raises the soft limit of this process (RLIMIT_NOFILE, see getrlimit(2)) to the hard one. Returns
/// how many descriptors it may have open from now on. For programs, at their start; a library must
/// not do that, because select(2) fails with high numbers.
std::size_t raise_descriptor_limit() noexcept;

}  // namespace ringlet

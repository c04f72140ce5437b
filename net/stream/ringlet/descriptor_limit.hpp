// descriptor_limit: the limit on open descriptors, which also limits connections.
#pragma once

#include <cstddef>

namespace ringlet {

/// Raises the soft limit of this process (RLIMIT_NOFILE, see getrlimit(2)) to the hard one. Returns
/// how many descriptors the process may now have open. For programs, at startup. A library must not
/// call it, because select(2) cannot handle descriptors above 1023.
std::size_t raise_descriptor_limit() noexcept;

}  // namespace ringlet

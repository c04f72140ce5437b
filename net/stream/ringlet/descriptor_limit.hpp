// descriptor_limit: the limit on open descriptors, which also limits connections.
//
//     void prepare_for(std::size_t connections) {
//       if (raise_descriptor_limit() > connections + 100) return;
//       throw std::runtime_error("too few descriptors: see ulimit -Hn");
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace ringlet {

/// Raises the soft limit of this process on descriptors to the hard one. Returns how many the
/// process may now have open. For programs, at startup. A library must not call it, because
/// select(2) cannot handle descriptors above 1023.
///
/// Errors    None. If the limit cannot be raised, returns the one that stays; if there is none, or
///           it cannot be read, the largest number.
/// Thread    Any. The limit is that of the process.
/// Kernel    getrlimit(2), RLIMIT_NOFILE.
std::size_t raise_descriptor_limit() noexcept;

}  // namespace ringlet

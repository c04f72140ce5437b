// The first step of both load generators: enough descriptors for all connections.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/descriptor_limit.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace bench {

/// Raises the limit on descriptors. Ends the program if it is still too low.
inline void require_descriptors(std::size_t connections) {
  constexpr std::size_t own = 16;
  const std::size_t limit = ringlet::raise_descriptor_limit();
  if (limit >= connections + own) return;
  std::fprintf(stderr,
               "%zu connections need %zu descriptors, but the hard limit is %zu: raise it "
               "(ulimit -Hn) or ask for fewer connections\n",
               connections, connections + own, limit);
  std::exit(1);
}

}  // namespace bench

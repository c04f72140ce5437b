// The load generators' first step: every connection takes a descriptor.
#pragma once

#include <ringlet/descriptor_limit.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace bench {

/// Raises the limit on descriptors, and ends the program if it is too low for that many
/// connections.
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

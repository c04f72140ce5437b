// raise_descriptor_limit(): getrlimit(2), then setrlimit(2).
// SPDX-License-Identifier: MIT
#include <ringlet/descriptor_limit.hpp>

#include <sys/resource.h>

#include <limits>

namespace ringlet {

std::size_t raise_descriptor_limit() noexcept {
  rlimit limit{};
  // The limit is unknown: 0 would say that no descriptors are allowed.
  constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return unlimited;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return before;
  return limit.rlim_cur;
}

}  // namespace ringlet

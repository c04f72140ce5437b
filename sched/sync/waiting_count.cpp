// How dump() shows the number of fibers that wait.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/waiting_count.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet::detail {

void waiting_count::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), " with {} waiting (at most {})", now, peak);
}

}  // namespace ringlet::detail

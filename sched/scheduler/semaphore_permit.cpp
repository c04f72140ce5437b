// What a permit cannot do.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/semaphore_permit.hpp>

#include <fmt/format.h>

namespace ringlet::detail {

void refuse_permits(std::size_t held, std::size_t asked) noexcept {
  broken_rule(
      fmt::format("a permit for {} was asked for {}: it can give no more than it has", held, asked)
          .c_str(),
      __FILE__, __LINE__);
}

}  // namespace ringlet::detail

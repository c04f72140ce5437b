// waiting_count: how many fibers wait for an object, and the most that ever did.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace ringlet::detail {

struct waiting_count {
  void add() noexcept {
    if (++now > peak) peak = now;
  }
  void remove() noexcept { --now; }
  /// Appends " with 2 waiting (at most 5)".
  void describe(std::string& out) const;

  std::uint32_t now = 0;
  std::uint32_t peak = 0;
};

}  // namespace ringlet::detail

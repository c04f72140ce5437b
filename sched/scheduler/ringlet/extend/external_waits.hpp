// external_waits: counts the waits that something outside of the scheduler can end.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace ringlet::extend {

/// While there is such a wait, a scheduler with nothing to do is idle, not deadlocked. Requests
/// that no fiber awaits, such as those of idle connections, do not count.
class external_waits {
 public:
  void begin() noexcept { ++count_; }
  void end() noexcept { --count_; }
  bool any() const noexcept { return count_ != 0; }

 private:
  std::size_t count_ = 0;
};

}  // namespace ringlet::extend

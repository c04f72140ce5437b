// external_waits: how many waits something outside of the scheduler's thread can end.
#pragma once

#include <cstddef>

namespace ringlet::extend {

/// While there is one, a scheduler with nothing to do is idle and not deadlocked. Requests that no
/// fiber awaits, such as that of an idle connection, are none.
class external_waits {
 public:
  void begin() noexcept { ++count_; }
  void end() noexcept { --count_; }
  bool any() const noexcept { return count_ != 0; }

 private:
  std::size_t count_ = 0;
};

}  // namespace ringlet::extend

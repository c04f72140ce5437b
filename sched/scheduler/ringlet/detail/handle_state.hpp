// handle_state: what the handles of a scheduler share with it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

namespace ringlet::detail {

/// Other threads use it, too. Updated when the scheduler ends.
struct handle_state {
  /// Posts, unless the scheduler has ended: then returns false.
  bool post(extend::posted_work& work) noexcept {
    // In a child of fork() the parent's scheduler has ended. The mutex may have stayed locked.
    if (left_behind) return false;
    const std::lock_guard lock(mutex);
    if (target == nullptr) return false;
    target->post(work);
    return true;
  }

  std::string name;               // of the scheduler, for messages; never changes
  const void* runtime = nullptr;  // of the scheduler, for comparison; never changes
  std::mutex mutex;
  extend::engine* target = nullptr;  // null once the scheduler has ended
  std::size_t handles = 0;
  std::atomic<std::size_t> posts = 0;  // made by the program and not run yet
  std::size_t posts_max = 0;
  std::atomic<bool> left_behind = false;  // see scheduler::is_left_behind()
  // How many descriptors are open there: what other threads compare to see which scheduler has the
  // least to do. Only the scheduler's thread changes it.
  std::atomic<std::uint32_t> descriptors = 0;
};

}  // namespace ringlet::detail

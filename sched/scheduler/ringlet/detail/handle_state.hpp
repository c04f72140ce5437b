// handle_state: what the handles of a scheduler share with it.
#pragma once

#include <ringlet/extend/engine.hpp>

#include <atomic>
#include <cstddef>
#include <mutex>

namespace ringlet::detail {

/// Other threads use it, too. Updated when the scheduler ends.
struct handle_state {
  std::mutex mutex;
  extend::engine* target = nullptr;  // null once the scheduler has ended
  std::size_t handles = 0;
  std::atomic<std::size_t> posts = 0;  // made by the program and not run yet
  std::size_t posts_max = 0;
  std::atomic<bool> left_behind = false;  // see scheduler::is_left_behind()
};

}  // namespace ringlet::detail

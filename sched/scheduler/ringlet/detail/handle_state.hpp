// handle_state: what the handles of a scheduler share with it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/gate.hpp>
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
    return use_target([&](extend::engine& to) { to.post(work); });
  }
  /// Wakes the scheduler, unless it has ended.
  void wake() noexcept {
    use_target([](extend::engine& of) { of.wake(); });
  }

  std::string name;                  // of the scheduler, for messages; never changes
  const void* runtime = nullptr;     // of the scheduler, for comparison; never changes
  extend::engine* target = nullptr;  // never changes; only for threads that are inside the gate
  gate<> open;                       // closed once the scheduler has ended
  std::mutex mutex;                  // guards who waits for the fibers that were spawned remotely
  std::atomic<std::size_t> handles = 0;
  std::atomic<std::size_t> posts = 0;  // made by the program and not run yet
  std::size_t posts_max = 0;
  std::atomic<bool> left_behind = false;  // see scheduler::is_left_behind()
  // How many descriptors are open there: what other threads compare to see which scheduler has the
  // least to do. Only the scheduler's thread changes it.
  std::atomic<std::uint32_t> descriptors = 0;

 private:
  template <class F>
  bool use_target(F use) noexcept {
    // In a child of fork() the parent's scheduler has ended.
    if (left_behind || !open.enter()) return false;
    use(*target);
    open.leave();
    return true;
  }
};

}  // namespace ringlet::detail

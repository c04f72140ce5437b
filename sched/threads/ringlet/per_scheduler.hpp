// per_scheduler: one object on each scheduler of a runtime, which only that thread uses.
//
//     struct shard { std::unordered_map<std::string, int> stock; };
//
//     task<> serve() {
//       auto shards = co_await per_scheduler<shard>::make();
//       ++shards.local().stock["apples"];                         // on this thread
//       const auto count = [](shard& its, std::string item) { return its.stock[item]; };
//       const int pears = co_await shards.on(1, count, std::string("pears"));
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/scheduler_slot.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/located.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/task.hpp>

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// One T on each scheduler of a runtime; without a runtime, one on this scheduler. Movable.
///
/// Lifetime  The values are destroyed soon after the per_scheduler, each on the thread of its
///           scheduler, between fibers; or when that scheduler ends, if this comes first.
///           References to them, and calls with them, must end before.
/// Thread    local() and on(): of the runtime's schedulers. It may be moved and destroyed on any.
/// Memory    One block per scheduler. Its destruction does not allocate.
template <class T>
class per_scheduler {
 public:
  /// Constructs T(args...) on each scheduler, and waits for all. `args` are copied there.
  ///
  /// Errors    What the constructors throw; see run_on_all().
  /// Cancellation  Values that have been constructed are destroyed.
  template <class... Args>
  static task<per_scheduler> make(Args... args) {
    per_scheduler made;
    made.slots_.resize(scheduler_count());
    const auto construct = [&](std::size_t k) {
      auto slot = std::make_unique<detail::scheduler_slot<T>>(args...);
      slot->enlist();
      made.slots_[k] = slot.release();
    };
    co_await run_on_all(construct);
    co_return made;
  }

  per_scheduler(per_scheduler&& other) noexcept : slots_(std::exchange(other.slots_, {})) {}
  per_scheduler& operator=(per_scheduler other) noexcept {
    std::swap(slots_, other.slots_);
    return *this;
  }
  ~per_scheduler() {
    for (auto* slot : slots_) {
      if (slot != nullptr) slot->release();
    }
  }

  /// How many values there are.
  std::size_t size() const noexcept { return slots_.size(); }
  /// The value of this thread's scheduler. Aborts on a thread that has none.
  T& local() const {
    const std::size_t k = scheduler_index();
    RINGLET_ASSERT(k < slots_.size() && slots_[k]->is_here(),
                   "a per_scheduler was used on a scheduler of another runtime");
    return slots_[k]->value();
  }
  /// Calls `f(value, args...)` on scheduler `k` with its value. Otherwise like run_on().
  template <class F, class... Args>
  auto on(extend::located<std::size_t> k, F&& f, Args&&... args) const {
    detail::check_temporary<F>();
    RINGLET_ASSERT(
        k.value < slots_.size(),
        "a per_scheduler has no value with this number: numbers go from 0 to size() - 1");
    return run_on(k,
                  detail::call_with_value<T, std::decay_t<F>>{slots_[k.value], std::forward<F>(f)},
                  std::forward<Args>(args)...);
  }

 private:
  per_scheduler() noexcept = default;

  std::vector<detail::scheduler_slot<T>*> slots_;
};

}  // namespace ringlet

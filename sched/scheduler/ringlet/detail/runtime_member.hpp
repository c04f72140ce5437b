// runtime_member: how a scheduler takes part in a runtime, whose schedulers end together.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

namespace ringlet::extend {

class fiber_base;
class scheduler;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// What a scheduler asks its runtime. Without a runtime it ends when its main task and its other
/// fibers have ended. Thread: that of the scheduler, except where noted.
class runtime_member {
 public:
  /// Its number in the runtime, and how many schedulers there are. Any thread.
  std::size_t index() const noexcept { return index_; }
  virtual std::size_t count() const noexcept = 0;
  /// The scheduler with that number: it lives until no scheduler of the runtime has a fiber. On the
  /// threads of the runtime's schedulers.
  virtual extend::scheduler& peer(std::size_t index) noexcept = 0;
  /// The runtime, for comparison.
  virtual const void* runtime() const noexcept = 0;

  /// Called when the main task has ended. True if the runtime continues: then so do the other
  /// fibers of this scheduler.
  virtual bool continues_after(extend::fiber_base& main) noexcept = 0;
  /// Called when this scheduler has no fibers. True if no scheduler of the runtime has any, and the
  /// runtime is ending: then all leave.
  virtual bool may_leave() noexcept = 0;
  /// Called after may_leave() when the scheduler has fibers again.
  virtual void stay() noexcept = 0;

  /// Called when only other schedulers of the runtime can wake this one. True if the same holds for
  /// all of them: each is then told to report the deadlock.
  virtual bool is_deadlocked() noexcept = 0;
  /// Called when posted work, a signal or a step of the shutdown is about to wake a fiber: the
  /// answer of is_deadlocked() no longer holds.
  virtual void on_activity() noexcept = 0;

  /// The names of the schedulers that have fibers.
  virtual std::string unfinished() = 0;

 protected:
  explicit runtime_member(std::size_t index) noexcept : index_(index) {}
  ~runtime_member() = default;

 private:
  std::size_t index_;
};

}  // namespace ringlet::detail

// shutdown_hook: an object to notify before the engine of a scheduler is destroyed.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

namespace ringlet::extend {

/// The base of objects that hold a descriptor and may outlive run().
class shutdown_hook : public list_hook<> {
 public:
  /// Called when all fibers have ended: cancels everything in flight. The scheduler then waits for
  /// the completions and calls on_scheduler_gone().
  virtual void on_shutdown() noexcept = 0;
  /// The scheduler is about to be destroyed.
  virtual void on_scheduler_gone() noexcept = 0;

 protected:
  ~shutdown_hook() = default;
};

/// The hooks of one scheduler. A hook leaves by calling its own unlink(). Thread: that of the
/// scheduler.
class shutdown_hooks {
 public:
  void add(shutdown_hook& added) noexcept { hooks_.push_back(added); }

  /// Calls on_shutdown() of each hook.
  void shut_down() noexcept {
    for (shutdown_hook* h = hooks_.next(nullptr); h != nullptr; h = hooks_.next(h)) {
      h->on_shutdown();
    }
  }
  /// Removes each hook, then calls its on_scheduler_gone().
  void let_go() noexcept {
    while (!hooks_.empty()) hooks_.pop_front().on_scheduler_gone();
  }

 private:
  intrusive_list<shutdown_hook> hooks_;
};

}  // namespace ringlet::extend

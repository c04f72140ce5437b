// scheduler_link: how the library's own messages reach a scheduler from any thread.
//
// Answers, kills, wake-ups and last releases must arrive even if the mailbox is full and no memory
// is left. So each of them is a `posted_work` of its own, a member of the object that it is about:
//
//     struct shared_value : posted_work {
//       explicit shared_value(scheduler& owner) : link(owner) { run = &shared_value::release; }
//       scheduler_link link;
//     };
//     if (!last->link.post(*last)) delete last;  // its scheduler has ended: nothing else uses it
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/handle_state.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/scheduler.hpp>

#include <memory>

namespace ringlet::extend {

/// Refers to a scheduler that may end earlier. Unlike a scheduler_handle it does not keep the
/// scheduler waiting for posts: a wait that a message ends counts in external_waits.
///
/// For a fiber that waits, no link is needed: its scheduler lives until the wait has ended, so
/// `scheduler().engine().post()` reaches it.
/// Thread  Any; copies are independent.
/// Memory  post() does not allocate, and takes no place in the mailbox.
class scheduler_link {
 public:
  explicit scheduler_link(const scheduler& to) noexcept : state_(to.shared_handle_state()) {}

  /// Queues `work`, and wakes the scheduler if it sleeps. Returns false if the scheduler has ended:
  /// then `work` is not run. Otherwise it runs on the scheduler's thread, between fibers, in the
  /// order of posting; perhaps only when all fibers have ended. Until then it must live.
  bool post(posted_work& work) const noexcept;

 private:
  std::shared_ptr<detail::handle_state> state_;
};

}  // namespace ringlet::extend

// counted_waiters: the fibers that wait for an object which ends all waits at once, counted.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/waiting_count.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_list.hpp>
#include <ringlet/time_limit.hpp>

namespace ringlet::detail {

/// What such an object owns.
struct counted_waiters {
  /// Ends all waits, in order.
  void end_all() noexcept {
    count.now = 0;
    woken.take(list);
  }

  waiting_count count;
  extend::wait_list list;
  extend::wake_list woken;
};

/// The base of the waits for it. The derived class has try_now() and describe().
class counted_wait : public extend::wake_list_wait {
 public:
  void watch() noexcept {
    wait_in(in_->list, in_->woken);
    in_->count.add();
  }
  void unwatch() noexcept {
    if (!linked()) return;
    unlink();
    if (!is_over(in_->woken)) in_->count.remove();
  }
  void on_cancel(extend::cancel_reason reason) noexcept {
    unwatch();
    end_early(reason, in_->woken);
  }

 protected:
  counted_wait(counted_waiters& in, time_limit timeout) noexcept
      : extend::wake_list_wait(timeout), in_(&in) {}
  ~counted_wait() = default;

 private:
  counted_waiters* in_;
};

}  // namespace ringlet::detail

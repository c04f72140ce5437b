// task_count: how many items of a joinable_queue are not done, and the fibers that wait for that to
// be none.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/counted_waiters.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <string>

namespace ringlet::detail {

class task_count {
 public:
  class join_wait;

  task_count() noexcept = default;
  task_count(const task_count&) = delete;
  task_count& operator=(const task_count&) = delete;
  ~task_count();

  std::size_t unfinished() const noexcept { return unfinished_; }
  void entered() noexcept { ++unfinished_; }
  /// One item is done.
  void finish() noexcept {
    owner_.check("an item of a joinable_queue was done on a thread that is not its scheduler's");
    if (--unfinished_ == 0) joiners_.end_all();
  }
  /// For the queue's destructor: aborts if more items are not done than are stored.
  void check_all_returned(std::size_t stored) const noexcept;

 private:
  std::size_t unfinished_ = 0;
  affinity owner_;
  counted_waiters joiners_;
};

/// See joinable_queue::join().
class [[nodiscard]] task_count::join_wait : public counted_wait {
 public:
  join_wait(task_count& on, time_limit timeout) noexcept
      : counted_wait(on.joiners_, timeout), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  bool await_resume() { return value_or_throw(take(), "join"); }

  bool try_now() noexcept { return on_->unfinished_ == 0; }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  task_count* on_;
};

}  // namespace ringlet::detail

// Counts the handles of a scheduler, and posts to it.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/scheduler_handle.hpp>

#include <system_error>

namespace ringlet {
using namespace extend;
using namespace detail;

scheduler_handle::scheduler_handle()
    : scheduler_handle(current_scheduler().shared_handle_state()) {}

scheduler_handle::scheduler_handle(std::shared_ptr<handle_state> state) : state_(std::move(state)) {
  if (state_->left_behind) abort_after_fork();
  state_->handles.fetch_add(1, std::memory_order_relaxed);
}

scheduler_handle::scheduler_handle(const scheduler_handle& other) : state_(other.state_) {
  if (state_ == nullptr || state_->left_behind) return;
  state_->handles.fetch_add(1, std::memory_order_relaxed);
}

scheduler_handle::~scheduler_handle() {
  if (state_ == nullptr || state_->left_behind) return;
  // Published to scheduler::is_deadlocked(), with all that the handle has posted.
  const bool is_last = state_->handles.fetch_sub(1, std::memory_order_acq_rel) == 1;
  // Wakes the scheduler to look for a deadlock: no handle can post to it any more.
  if (is_last) state_->wake();
}

scheduler_handle::place::place(const scheduler_handle& of) {
  RINGLET_ASSERT(of.state_ != nullptr, "a moved-from scheduler_handle was used");
  detail::handle_state& state = *of.state_;
  if (state.left_behind) detail::abort_after_fork();
  if (state.posts.fetch_add(1, std::memory_order_relaxed) < state.posts_max) {
    state_ = &state;
    return;
  }
  state.posts.fetch_sub(1, std::memory_order_relaxed);
  refusal_ = state.open.is_closed() ? post_result::ended : post_result::full;
}

bool scheduler_handle::post_work(posted_work& work) const { return state_->post(work); }

bool scheduler_handle::may_run() noexcept {
  extend::scheduler& here = current_scheduler();
  here.shared_handle_state()->posts.fetch_sub(1, std::memory_order_relaxed);
  return here.accepts_posts();
}

void scheduler_handle::throw_refused(post_result why) const {
  if (why == post_result::full) {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "spawn: the mailbox of scheduler " + state_->name + " is full");
  }
  throw_error(errc::closed, "spawn: the scheduler has ended");
}

void scheduler_handle::report(std::exception_ptr error) noexcept {
  report_unhandled({0, "posted work", std::move(error)});
}

}  // namespace ringlet

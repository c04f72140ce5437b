// The lifetime of remote handles, and posting.
#include <ringlet/remote.hpp>

namespace ringlet {

remote::remote() : state_(current_scheduler().remotes()) {
  const std::lock_guard lock(state_->mutex);
  ++state_->handles;
}

remote::remote(const remote& other) : state_(other.state_) {
  if (state_ == nullptr || state_->left_behind) return;
  const std::lock_guard lock(state_->mutex);
  ++state_->handles;
}

remote::~remote() {
  if (state_ == nullptr || state_->left_behind) return;
  const std::lock_guard lock(state_->mutex);
  // The scheduler may have to see now that nobody can wake it any more.
  if (--state_->handles == 0 && state_->target != nullptr) state_->target->wake();
}

remote::place::place(const remote& of) {
  RINGLET_ASSERT(of.state_ != nullptr, "a moved-from remote handle was used");
  scheduler::remote_state& state = *of.state_;
  if (state.left_behind) detail::abort_after_fork();
  if (state.posts.fetch_add(1, std::memory_order_relaxed) < state.posts_max) {
    state_ = &state;
    return;
  }
  state.posts.fetch_sub(1, std::memory_order_relaxed);
  const std::lock_guard lock(state.mutex);
  refusal_ = state.target == nullptr ? post_result::ended : post_result::full;
}

bool remote::post_work(posted_work& work) const {
  const std::lock_guard lock(state_->mutex);
  if (state_->target == nullptr) return false;
  state_->target->post(work);
  return true;
}

bool remote::may_run() noexcept {
  scheduler& here = current_scheduler();
  here.remotes()->posts.fetch_sub(1, std::memory_order_relaxed);
  return here.accepts_posts();
}

void remote::report(std::exception_ptr error) noexcept {
  report_unobserved({0, "posted work", std::move(error)});
}

}  // namespace ringlet

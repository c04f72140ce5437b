// The life of remote handles, and posting.
#include <ringlet/remote.hpp>

namespace ringlet {

remote::remote() : state_(current_scheduler().remotes()) {
  const std::lock_guard lock(state_->mutex);
  ++state_->handles;
}

remote::remote(const remote& other) : state_(other.state_) {
  if (state_ == nullptr) return;
  const std::lock_guard lock(state_->mutex);
  ++state_->handles;
}

remote::~remote() {
  if (state_ == nullptr) return;
  const std::lock_guard lock(state_->mutex);
  // The scheduler may have to see now that nobody can wake it any more.
  if (--state_->handles == 0 && state_->target != nullptr) state_->target->wake();
}

bool remote::post_work(posted_work& work) const {
  RINGLET_ASSERT(state_ != nullptr, "a moved-from remote handle was used");
  const std::lock_guard lock(state_->mutex);
  if (state_->target == nullptr) return false;
  state_->target->post(work);
  return true;
}

bool remote::may_run() noexcept { return current_scheduler().accepts_posts(); }

void remote::report(std::exception_ptr error) noexcept {
  report_unobserved({0, "posted work", std::move(error)});
}

}  // namespace ringlet

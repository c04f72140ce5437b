// Posts to a scheduler unless it has ended.
#include <ringlet/extend/scheduler_link.hpp>

#include <mutex>

namespace ringlet::extend {

bool scheduler_link::post(posted_work& work) const noexcept {
  // In a child of fork() the parent's scheduler has ended. The lock may have stayed locked.
  if (state_->left_behind) return false;
  const std::lock_guard lock(state_->mutex);
  if (state_->target == nullptr) return false;
  state_->target->post(work);
  return true;
}

}  // namespace ringlet::extend

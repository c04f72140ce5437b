// Posts to a scheduler unless it has ended.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/scheduler_link.hpp>

namespace ringlet::extend {

bool scheduler_link::post(posted_work& work) const noexcept { return state_->post(work); }

}  // namespace ringlet::extend

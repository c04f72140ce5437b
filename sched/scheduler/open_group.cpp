// Cancels the fibers of a group, and of the groups that those fibers have opened.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/open_group.hpp>

namespace ringlet::detail {
using namespace extend;

open_group::open_group() : scope(of_group()), starter_(current()) {
  starter_.add_group(*this);
  if (starter_.interrupted()) unwind();
}

// Members may have opened groups, whose members may have opened groups, too. The first call cancels
// all of them in a loop, so the stack does not grow with the depth.
void open_group::cancel_members() noexcept {
  thread_local constinit open_group* last = nullptr;
  // New members find the group cancelled.
  if (is_cancelled()) return;
  around().cancel();
  if (last != nullptr) {
    last->next_cancelled_ = this;
    last = this;
    return;
  }
  last = this;
  for (open_group* each = this; each != nullptr; each = each->next_cancelled_) {
    intrusive_list<group_member, open_group>& all = each->members_;
    for (group_member* m = all.next(nullptr); m != nullptr; m = all.next(m)) m->who->interrupt();
  }
  last = nullptr;
}

}  // namespace ringlet::detail

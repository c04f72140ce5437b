// Ends the waits for a joinable_queue that is destroyed, and describes them.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/task_count.hpp>
#include <ringlet/extend/assert.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet::detail {
using namespace extend;

const wait_type task_count::join_wait::type = make_type<join_wait>("join");

task_count::~task_count() {
  drop_waits_left_behind(joiners_.list);
  list_wait::end_orphans(joiners_.list,
                         "a joinable_queue was destroyed while a fiber waited in join(): it must "
                         "outlive the fibers that use it, so declare it outside of the group that "
                         "they are in, or pass it to with_group() as an argument");
}

void task_count::check_all_returned(std::size_t stored) const noexcept {
  // Outside of run(), as in a child of fork(), nothing is known about the fibers that have them.
  if (serial_here == 0) return;
  RINGLET_ASSERT(unfinished_ <= stored,
                 "a joinable_queue was destroyed while a fiber had an item that is not done: it "
                 "must outlive its items, so declare it outside of the group that works on them");
}

void task_count::join_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out),
                 "joinable_queue with {} items not done, {} waiting (at most {})", on_->unfinished_,
                 on_->joiners_.count.now, on_->joiners_.count.peak);
}

}  // namespace ringlet::detail

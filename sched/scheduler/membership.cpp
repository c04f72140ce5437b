// A scheduler without fibers that other schedulers still need: it answers them until all can end.
//
// Two things keep it: fibers of other schedulers that were started from here, because their end is
// reported here; and a runtime, whose schedulers end together. The cost for other programs is one
// check when the last fiber has ended.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/detail/report.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace ringlet {
using namespace extend;

bool scheduler::is_needed_by_others() noexcept {
  if (started_elsewhere_.any()) return true;
  return membership_ != nullptr && !membership_->may_leave();
}

// A turn without fibers.
void scheduler::serve_others() {
  if (signal_.is_watched()) check_signal();
  if (!told_later_.empty() || !is_needed_by_others()) return;
  if (timers_.empty() && !external_.any() && is_deadlocked()) {
    report_deadlock();
  } else {
    const steady_ns next = std::min({timers_.next(), clock_.next(), count_due_});
    poll(detail::frames.before_sleep(turn_time(), next));
  }
  if (timers_.next() <= turn_time()) timers_.expire(turn_time(), at_once_max);
  if (std::min(count_due_, clock_.next()) <= turn_time()) {
    if (count_due_ <= turn_time()) print_count_of_failures();
    enter_due_stages();
  }
  if (membership_ != nullptr && (fibers_.count() != 0 || !told_later_.empty())) {
    membership_->stay();
  }
}

std::string detail::remote_starts::text() {
  std::map<std::string_view, std::size_t> counts;
  for (remote_start* s = started_.next(nullptr); s != nullptr; s = started_.next(s)) {
    ++counts[s->home_name()];
  }
  std::string all;
  for (const auto& [home, count] : counts) {
    if (!all.empty()) all += ", ";
    all += std::to_string(count) + (count == 1 ? " fiber" : " fibers") + " on scheduler ";
    all += home;
  }
  return all;
}

// Names each scheduler that this one waits for: it may not react at all.
void scheduler::report_others() {
  std::string left;
  if (started_elsewhere_.any()) {
    left = started_elsewhere_.text();
  } else {
    left = membership_->unfinished();
  }
  detail::report("ringlet: scheduler %s waits for %s: not ended within %.1f s after %s\n",
                 label().c_str(), left.c_str(), static_cast<double>(clock_.time_to_next()) / 1e9,
                 beginning_of_end());
}

}  // namespace ringlet

// Counts a latch down, and wakes all its waiters at zero.
// SPDX-License-Identifier: MIT
#include <ringlet/latch.hpp>

#include <fmt/format.h>

#include <iterator>
#include <string>

namespace ringlet {
using namespace extend;

const wait_type latch::zero_wait::type = make_type<zero_wait>("latch");

latch::~latch() {
  detail::drop_waits_left_behind(waiters_.list);
  list_wait::end_orphans(waiters_.list,
                         "a latch was destroyed while a fiber waited for it: it must outlive the "
                         "fibers that use it, so declare it outside of the group that they are in, "
                         "or pass it to with_group() as an argument");
}

void latch::count_down(std::size_t k) noexcept {
  check_thread();
  if (k > left_) {
    const std::string rule = fmt::format(
        "a latch was counted down by {} when {} was left: it must not go below zero", k, left_);
    detail::broken_rule(rule.c_str(), __FILE__, __LINE__);
  }
  left_ -= k;
  if (left_ != 0 || k == 0) return;
  waiters_.end_all();
}

void latch::zero_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} at {}", static_cast<const void*>(on_), on_->left_);
  on_->waiters_.count.describe(out);
}

}  // namespace ringlet

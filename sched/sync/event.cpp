// Wakes all waiters of an event.
// SPDX-License-Identifier: MIT
#include <ringlet/event.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {
using namespace extend;

const wait_type event::waiting::type = make_type<waiting>("event");

event::~event() {
  detail::drop_waits_left_behind(waiters_.list);
  list_wait::end_orphans(waiters_.list,
                         "an event was destroyed while a fiber waited for it: it must outlive the "
                         "fibers that use it, so declare it outside of the group that they are in, "
                         "or pass it to with_group() as an argument");
}

void event::set() noexcept {
  if (waiters_.list.empty()) check_thread();  // else complete() does
  set_ = true;
  waiters_.end_all();
}

void event::waiting::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{}", static_cast<const void*>(on_));
  on_->waiters_.count.describe(out);
}

}  // namespace ringlet

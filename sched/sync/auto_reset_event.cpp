// Lets one waiter of an auto_reset_event pass, or stores that the next one may.
// SPDX-License-Identifier: MIT
#include <ringlet/auto_reset_event.hpp>

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace ringlet {
using namespace extend;

const wait_type auto_reset_event::set_wait::type = make_type<set_wait>("auto_reset_event");

auto_reset_event::~auto_reset_event() {
  detail::drop_waits_left_behind(waiters_);
  list_wait::end_orphans(waiters_,
                         "an auto_reset_event was destroyed while a fiber waited for it: it must "
                         "outlive the fibers that use it, so declare it outside of the group that "
                         "they are in, or pass it to with_group() as an argument");
}

void auto_reset_event::set() noexcept {
  check_thread();
  if (waiters_.empty()) {
    set_ = true;
    return;
  }
  auto& first = static_cast<set_wait&>(waiters_.front());
  first.unwatch();
  first.complete();
}

void auto_reset_event::reset() noexcept {
  check_thread();
  set_ = false;
}

bool auto_reset_event::try_wait() noexcept {
  check_thread();
  return std::exchange(set_, false);
}

void auto_reset_event::set_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{}", static_cast<const void*>(on_));
  on_->count_.describe(out);
}

}  // namespace ringlet

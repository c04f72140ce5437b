// Waiting for a concurrent_event.
// SPDX-License-Identifier: MIT
#include <ringlet/concurrent_event.hpp>
#include <ringlet/detail/thread_waiter.hpp>
#include <ringlet/extend/assert.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type concurrent_event::waiting::type = make_type<waiting>("concurrent event");

concurrent_event::~concurrent_event() {
  RINGLET_ASSERT(
      flag_.is_abandoned(),
      "a concurrent_event was destroyed while a fiber or a thread waited for it: it must "
      "outlive all that use it");
}

bool concurrent_event::wait_blocking(const time_limit& timeout) {
  check_may_block(
      "wait_blocking() of a concurrent_event was called on the thread of a scheduler, all fibers "
      "of which would stop: co_await wait() there");
  return wait_for_flag(flag_, timeout);
}

void concurrent_event::waiting::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} with {} waiting", static_cast<const void*>(on_),
                 on_->flag_.waiting());
}

}  // namespace ringlet

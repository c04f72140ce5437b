// The part of a queue that does not depend on its items: closing, and describing its waits.
// SPDX-License-Identifier: MIT
#include <ringlet/queue.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet::detail {
using namespace extend;

queue_base::~queue_base() {
  constexpr auto rule =
      "a queue was destroyed while a fiber waited to push or to pop: it must outlive the fibers "
      "that use it, so declare it outside of the group that they are in, or pass it to "
      "with_group() as an argument";
  closed_ = true;  // so waits that end here admit no other waits
  end_orphans(pushers_, rule);
  end_orphans(poppers_, rule);
  drop_waits_left_behind(peekers_);
  list_wait::end_orphans(peekers_, rule);
}

void queue_base::end_orphans(line& left, const char* rule) noexcept {
  drop_waits_left_behind(left.waits);
  list_wait::end_orphans(left.waits, rule);
  left.count = 0;
}

void queue_base::close() noexcept {
  check_thread();
  if (closed_) return;
  closed_ = true;
  for (line* side : {&pushers_, &poppers_}) {
    side->count = 0;
    woken_.take(side->waits);
  }
  woken_.take(peekers_);
}

void queue_base::describe_to(std::string& out) const {
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "{} {} with {}", name_, static_cast<const void*>(this), size_);
  if (size_max_ + reserved_ != unlimited) fmt::format_to(to, " of {}", size_max_ + reserved_);
  fmt::format_to(to, " items (peak {}, ", peak());
  if (reserved_ != 0) fmt::format_to(to, "{} reserved, ", reserved_);
  fmt::format_to(to, "{} waiting to push, {} to pop)", pushers_.count, poppers_.count);
}

}  // namespace ringlet::detail

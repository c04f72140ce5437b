// The part of a queue that does not depend on its items: closing, and describing its waits.
#include <ringlet/queue.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet::detail {
using namespace extend;

queue_base::~queue_base() {
  drop_waits_left_behind(pushers_);
  drop_waits_left_behind(poppers_);
  constexpr auto rule =
      "a queue was destroyed while a fiber waited to push or to pop: it must outlive the fibers "
      "that "
      "use it, so declare it outside of the group that they are in, or pass it to with_group() as "
      "an argument";
  closed_ = true;  // so waits that end here admit no other waits
  list_wait::end_orphans(pushers_, rule);
  list_wait::end_orphans(poppers_, rule);
}

void queue_base::close() noexcept {
  check_thread();
  closed_ = true;
  for (wait_list* side : {&pushers_, &poppers_}) {
    while (!side->empty()) {
      auto& wait = static_cast<side_wait&>(side->front());
      wait.reason_ = cancel_reason::closed;
      wait.complete();
    }
  }
}

void queue_base::side_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "queue {} with {} items", static_cast<const void*>(on_),
                 on_->size());
}

}  // namespace ringlet::detail

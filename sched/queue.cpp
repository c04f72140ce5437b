// The part of a queue that does not depend on its items: closing, and what its waits tell.
#include <ringlet/queue.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {

queue_base::~queue_base() {
  detail::drop_waits_left_behind(pushers_);
  detail::drop_waits_left_behind(poppers_);
  RINGLET_ASSERT(pushers_.empty() && poppers_.empty(),
                 "a queue was destroyed while a fiber waited to push or to pop");
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

void queue_base::side_wait::describe(const void* object, std::string& out) {
  const auto& self = static_cast<const side_wait&>(*static_cast<const wait_base*>(object));
  fmt::format_to(std::back_inserter(out), "queue {} with {} items",
                 static_cast<const void*>(self.on_), self.on_->size());
}

}  // namespace ringlet

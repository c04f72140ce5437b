// Waking all who wait for a flag.
#include <ringlet/event.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {

const wait_type event::waiting::type{"event", &list_wait::cancel, &waiting::describe};

event::~event() {
  detail::drop_waits_left_behind(waiters_);
  RINGLET_ASSERT(waiters_.empty(), "an event was destroyed while a fiber waited for it");
}

void event::set() noexcept {
  if (waiters_.empty()) check_thread();  // else complete() does
  set_ = true;
  while (!waiters_.empty()) waiters_.front().complete();
}

void event::waiting::describe(const void* object, std::string& out) {
  const auto& self = static_cast<const waiting&>(*static_cast<const wait_base*>(object));
  fmt::format_to(std::back_inserter(out), "{}", static_cast<const void*>(self.on_));
}

}  // namespace ringlet

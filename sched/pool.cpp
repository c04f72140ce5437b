// The places of a pool, handed from one who leaves to the one who has waited longest.
#include <ringlet/pool.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {

const wait_type pool::place_wait::type{"place in a pool", &list_wait::cancel,
                                       &place_wait::describe};

pool::~pool() {
  RINGLET_ASSERT(waiting_.empty(), "a pool was destroyed while somebody waited for a place in it");
  clear();
}

void pool::give_place_back() noexcept {
  --taken_;
  if (waiting_.empty()) return;
  ++taken_;  // it is the other one's before that one runs: nobody comes between
  waiting_.front().complete();
}

void pool::close() noexcept {
  closed_ = true;
  while (!waiting_.empty()) {
    auto& wait = static_cast<place_wait&>(waiting_.front());
    wait.reason_ = cancel_reason::closed;
    wait.complete();
  }
}

bool pool::place_wait::try_now() noexcept {
  if (of_->closed_) {
    reason_ = cancel_reason::closed;
    return true;
  }
  if (of_->taken_ >= of_->size_) return false;
  ++of_->taken_;
  return true;
}

void pool::place_wait::await_resume() {
  const result<void> taken = take();
  if (!taken) throw_error(taken.error(), type.name);
}

result<bool> pool::available_wait::take() {
  const std::error_code error = cancellation_error();
  if (error == errc::timed_out) return false;
  if (error) return error;
  of_->give_place_back();
  return true;
}

bool pool::available_wait::await_resume() {
  const result<bool> taken = take();
  if (!taken) throw_error(taken.error(), type.name);
  return *taken;
}

void pool::place_wait::describe(const void* object, std::string& out) {
  const auto& self = static_cast<const place_wait&>(*static_cast<const wait_base*>(object));
  fmt::format_to(std::back_inserter(out), "of {}", self.of_->size_);
}

}  // namespace ringlet

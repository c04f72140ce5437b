// The places of a pool, handed from one who leaves to the one who has waited longest.
#include <ringlet/as_result.hpp>
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

task<bool> pool::wait_available(until limit) {
  place_wait waiting(*this, limit);
  const result<void> got = co_await as_result(waiting);
  if (!got) {
    if (got.error() == errc::timed_out) co_return false;
    throw_error(got.error(), place_wait::type.name);
  }
  give_place_back();
  co_return true;
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

void pool::place_wait::describe(const void* object, std::string& out) {
  const auto& self = static_cast<const place_wait&>(*static_cast<const wait_base*>(object));
  fmt::format_to(std::back_inserter(out), "of {}", self.of_->size_);
}

}  // namespace ringlet

// The links to several fibers, and the wait for the next end.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/ended_fibers.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet::extend {

const wait_type ended_fibers::next_wait::type = make_type<next_wait>("join one of");

ended_fibers::ended_fibers(const std::vector<fiber_base*>& targets)
    : links_(std::make_unique<link[]>(targets.size())), count_(targets.size()) {
  order_.reserve(count_);
  for (std::size_t place = 0; place < count_; ++place) {
    fiber_base& target = *targets[place];
    if (target.done()) {
      order_.push_back(place);
      continue;
    }
    target.scheduler().check_thread("a fiber of another thread's scheduler cannot be joined");
    RINGLET_ASSERT(&target != current_scheduler().running(),
                   "a fiber joins itself, so its wait would never end");
    links_[place].owner = this;
    target.watch(links_[place]);
  }
}

ended_fibers::~ended_fibers() {
  for (std::size_t place = 0; place < count_; ++place) links_[place].unlink();
}

void ended_fibers::link::on_ended(done_watcher& watcher) noexcept {
  auto& self = static_cast<link&>(watcher);
  ended_fibers& owner = *self.owner;
  owner.order_.push_back(static_cast<std::size_t>(&self - owner.links_.get()));
  if (next_wait* const waiter = std::exchange(owner.waiter_, nullptr)) waiter->wake();
}

bool ended_fibers::next_wait::begin(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  if (of_->yielded_ < of_->order_.size() || of_->yielded_ == of_->count_) {
    return continue_or_yield(at);
  }
  RINGLET_ASSERT(of_->waiter_ == nullptr, "two fibers wait for the same ends");
  of_->waiter_ = this;
  suspend(type, at);
  return true;
}

void ended_fibers::next_wait::on_cancel(cancel_reason reason) noexcept {
  reason_ = reason;
  of_->waiter_ = nullptr;
  wake();
}

std::optional<std::size_t> ended_fibers::next_wait::await_resume() {
  rethrow_interruption();
  if (of_->yielded_ == of_->order_.size()) return std::nullopt;
  return of_->order_[of_->yielded_++];
}

void ended_fibers::next_wait::describe(std::string& out) const {
  const std::size_t left = of_->count_ - of_->order_.size();
  fmt::format_to(std::back_inserter(out), "{} fiber{}", left, left == 1 ? "" : "s");
}

}  // namespace ringlet::extend

// The lists of an imap(), and the wait for the next call to be read.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/calls_ahead.hpp>
#include <ringlet/detail/frame_pool.hpp>

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace ringlet::detail {
using namespace extend;

// As a watcher, a call is in the list of its fiber until the fiber has ended, then in `ended_`.
struct calls_ahead::call : done_watcher, list_hook<calls_ahead> {
  call() noexcept
      : done_watcher([](done_watcher& watcher) noexcept {
          auto& self = static_cast<call&>(watcher);
          self.owner->on_ended(self);
        }) {}
  ~call() {
    done_watcher::unlink();
    list_hook<calls_ahead>::unlink();
    if (who != nullptr) who->drop_reference();
  }
  static void* operator new(std::size_t size) { return frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    frames.deallocate(memory, size);
  }

  calls_ahead* owner = nullptr;
  fiber_base* who = nullptr;
};

const wait_type calls_ahead::next_wait::type = make_type<next_wait>("join");

calls_ahead::~calls_ahead() {
  for (call* c = all_.next(nullptr); c != nullptr; c = all_.next(c)) c->who->kill();
  while (!all_.empty()) delete &all_.front();
}

void calls_ahead::call_deleter::operator()(call* deleted) const noexcept { delete deleted; }

calls_ahead::call_owner calls_ahead::make_call() { return call_owner(new call); }

void calls_ahead::keep(call_owner added, fiber_base& fiber) noexcept {
  call& made = *added.release();
  made.owner = this;
  made.who = &fiber;
  fiber.add_reference();
  all_.push_back(made);
  ++size_;
  if (fiber.done()) {
    ended_.push_back(made);
  } else {
    fiber.watch(made);
  }
}

void calls_ahead::on_ended(call& ended) noexcept {
  ended_.push_back(ended);
  if (reader_ != nullptr && next_ended() != nullptr) std::exchange(reader_, nullptr)->wake();
}

calls_ahead::call* calls_ahead::next_ended() noexcept {
  if (!in_order_) return ended_.empty() ? nullptr : static_cast<call*>(&ended_.front());
  call& first = all_.front();
  return first.who->done() ? &first : nullptr;
}

fiber_base& calls_ahead::take_out() noexcept {
  const call_owner taken(next_ended());
  --size_;
  return *std::exchange(taken->who, nullptr);  // passes its reference to the caller
}

bool calls_ahead::next_wait::begin(frame_record& at) noexcept {
  if (!enter(at) || of_->next_ended() != nullptr) return continue_or_yield(at);
  of_->reader_ = this;
  suspend(type, at);
  return true;
}

void calls_ahead::next_wait::on_cancel(cancel_reason reason) noexcept {
  reason_ = reason;
  of_->reader_ = nullptr;
  wake();
}

void calls_ahead::next_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} of {} calls of an imap",
                 of_->in_order_ ? "the first" : "one", of_->size());
}

}  // namespace ringlet::detail

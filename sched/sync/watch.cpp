// Publishes versions of a watch's value, and waits for them.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/watch.hpp>

#include <fmt/format.h>

#include <iterator>
#include <string>

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type change_wait::type = make_type<change_wait>("changed");

watch_base::~watch_base() { drop_waits_left_behind(waiters_); }

void watch_base::check_open() {
  check_thread();
  if (closed_) throw_error(errc::closed, "watch");
}

void watch_base::publish() noexcept {
  ++version_;
  wake_all();
}

void watch_base::close() noexcept {
  check_thread();
  if (closed_) return;
  closed_ = true;
  wake_all();
}

// Needs the right thread only where a fiber waits, which wake_all() finds out.
void watch_base::end() noexcept {
  drop_waits_left_behind(waiters_);
  closed_ = true;
  wake_all();
}

void watch_base::wake_all() noexcept {
  waiting_ = 0;
  woken_.take(waiters_);
}

void watch_subscriber::refuse(const char* what) const noexcept {
  if (wait_->is_left_behind()) return;
  const std::string rule = fmt::format(
      "a subscriber of a watch was {} while a fiber waited for it: it belongs to one fiber, which "
      "keeps it in its own variables",
      what);
  broken_rule(rule.c_str(), __FILE__, __LINE__);
}

bool change_wait::try_now() noexcept {
  by_->shared().check_thread();
  RINGLET_ASSERT(by_->wait_ == nullptr,
                 "a second fiber waited for a subscriber of a watch: give each fiber its own, by "
                 "subscribe()");
  by_->wait_ = this;
  on_ = &by_->shared();
  seen_ = by_->seen_;
  return on_->version_ != seen_ || on_->closed_;
}

void change_wait::watch() noexcept {
  round_ = on_->woken_.round();
  on_->waiters_.push_back(*this);
  if (++on_->waiting_ > on_->waiting_peak_) on_->waiting_peak_ = on_->waiting_;
}

void change_wait::unwatch() noexcept {
  if (linked() && !is_over()) --on_->waiting_;
  unlink();
}

void change_wait::on_cancel(cancel_reason reason) noexcept {
  if (!is_over()) {
    --on_->waiting_;
    reason_ = reason;
  }
  complete();
}

result<bool> change_wait::take() {
  rethrow_interruption();
  if (reason_ == cancel_reason::timed_out) return false;
  if (on_->version_ != seen_) return true;
  reason_ = cancel_reason::closed;
  return cancellation_error();
}

void change_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "watch {} at version {} with {} waiting (at most {})",
                 static_cast<const void*>(on_), on_->version_, on_->waiting_, on_->waiting_peak_);
}

}  // namespace ringlet

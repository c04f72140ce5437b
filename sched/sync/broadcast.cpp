// The part of a broadcast that does not depend on its items: who has received how many, and waits.
// SPDX-License-Identifier: MIT
#include <ringlet/broadcast.hpp>
#include <ringlet/error.hpp>

#include <fmt/format.h>

#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

std::size_t checked(std::size_t capacity) {
  if (capacity == 0) {
    throw std::invalid_argument(
        "the capacity of a broadcast is 0, and must be at least 1: the number of items that it "
        "retains");
  }
  return capacity;
}

}  // namespace

const wait_type broadcast_wait::type = make_type<broadcast_wait>("receive");

broadcast_base::broadcast_base(std::size_t capacity, lag_policy policy)
    : capacity_(checked(capacity)), policy_(policy) {
  if (policy == lag_policy::wait) cursors_ = cursor_counts(capacity);
}

broadcast_base::~broadcast_base() { drop_waits_left_behind(receivers_); }

void broadcast_base::close() noexcept {
  check_thread();
  if (closed_) return;
  closed_ = true;
  sending_ = receiving_ = 0;
  ended_senders_.take(senders_);
  woken_.take(receivers_);
}

void broadcast_base::end() noexcept {
  drop_waits_left_behind(senders_);
  drop_waits_left_behind(receivers_);
  list_wait::end_orphans(senders_,
                         "a broadcast was destroyed while a fiber waited to send: it must outlive "
                         "the fibers that send, so declare it outside of the group that they are "
                         "in, or pass it to with_group() as an argument");
  closed_ = true;
  sending_ = receiving_ = 0;
  woken_.take(receivers_);
}

void broadcast_base::publish() noexcept {
  ++sent_;
  measure_backlog();
  if (receivers_.empty()) return;
  receiving_ = 0;
  woken_.take(receivers_);
}

void broadcast_base::measure_backlog() noexcept {
  if (backlog() > backlog_peak_) backlog_peak_ = backlog();
}

void broadcast_base::add_sender(list_wait& last) noexcept {
  senders_.push_back(last);
  if (++sending_ > sending_peak_) sending_peak_ = sending_;
}

void broadcast_base::describe(std::string& out) const {
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "broadcast {} with ", static_cast<const void*>(this));
  if (policy_ == lag_policy::wait) {
    fmt::format_to(to, "{} of {} items not received by all (at most {})", backlog(), capacity_,
                   backlog_peak_);
  } else {
    fmt::format_to(to, "{} of {} items", size(), capacity_);
  }
  fmt::format_to(to,
                 ", {} subscribers, {} waiting to send (at most {}), {} to receive (at most {})",
                 subscribers_, sending_, sending_peak_, receiving_, receiving_peak_);
}

broadcast_subscriber::broadcast_subscriber(std::shared_ptr<broadcast_base> on, from first) noexcept
    : shared_(std::move(on)) {
  shared_->check_thread();
  next_ = first == from::oldest ? shared_->oldest() : shared_->sent();
  ++shared_->subscribers_;
  if (shared_->policy_ != lag_policy::wait) return;
  shared_->cursors_.add(next_);
  shared_->measure_backlog();  // it may be behind from the start
}

void broadcast_subscriber::leave() noexcept {
  shared_->check_thread();
  --shared_->subscribers_;
  if (shared_->policy_ != lag_policy::wait) return;
  shared_->cursors_.remove(next_);
  drop_waits_left_behind(shared_->senders_);
  shared_->admit();
}

std::error_code broadcast_subscriber::find_next() noexcept {
  broadcast_base& on = shared();
  on.check_thread();
  if (const std::uint64_t lost = overwritten()) {
    if (on.policy_ == lag_policy::disconnect) return errc::lagged;
    missed_ += lost;
    next_ += lost;
  }
  return next_ == on.sent_ ? errc::closed : std::error_code();
}

void broadcast_subscriber::advance() noexcept {
  const std::uint64_t received = next_++;
  if (shared_->policy_ != lag_policy::wait) return;
  shared_->cursors_.advance(received);
  shared_->admit();
}

bool broadcast_subscriber::is_lagged() const noexcept {
  return shared().policy() == lag_policy::disconnect && overwritten() != 0;
}

std::size_t broadcast_subscriber::available() const noexcept {
  if (is_lagged()) return 0;
  return static_cast<std::size_t>(shared_->sent() - next_ - overwritten());
}

void broadcast_subscriber::check_no_second() const noexcept {
  RINGLET_ASSERT(wait_ == nullptr,
                 "a second fiber used a subscriber of a broadcast: give each fiber its own, by "
                 "subscribe()");
}

void broadcast_subscriber::refuse(const char* what) const noexcept {
  if (wait_->is_left_behind()) return;
  const std::string rule = fmt::format(
      "a subscriber of a broadcast was {} while a fiber waited for it: it belongs to one fiber, "
      "which keeps it in its own variables",
      what);
  broken_rule(rule.c_str(), __FILE__, __LINE__);
}

bool broadcast_wait::try_now() noexcept {
  by_->shared().check_thread();
  by_->check_no_second();
  by_->wait_ = this;
  on_ = &by_->shared();
  return by_->next_ != on_->sent_ || on_->closed_;
}

void broadcast_wait::watch() noexcept {
  round_ = on_->woken_.round();
  on_->receivers_.push_back(*this);
  if (++on_->receiving_ > on_->receiving_peak_) on_->receiving_peak_ = on_->receiving_;
}

void broadcast_wait::unwatch() noexcept {
  if (linked() && !is_over()) --on_->receiving_;
  unlink();
}

void broadcast_wait::on_cancel(cancel_reason reason) noexcept {
  if (!is_over()) {
    --on_->receiving_;
    reason_ = reason;
  }
  complete();
}

std::error_code broadcast_wait::error_of_end() {
  rethrow_interruption();
  if (reason_ != cancel_reason::none) return cancellation_error();
  const std::error_code error = by_->find_next();
  if (!error) return error;
  reason_ = cancel_reason::closed;  // or lagged: a pending interruption takes precedence
  [[maybe_unused]] const std::error_code of_the_wait = cancellation_error();
  return error;
}

void broadcast_wait::describe(std::string& out) const { on_->describe(out); }

}  // namespace ringlet

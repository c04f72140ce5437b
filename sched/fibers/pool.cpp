// The slots of a pool: a fiber that leaves passes its slot to the longest waiter.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/detail/report.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/select.hpp>

#include <fmt/format.h>

#include <exception>
#include <iterator>
#include <variant>

namespace ringlet {
using namespace extend;

const wait_type pool::slot_wait::type = make_type<slot_wait>("slot");

pool::~pool() {
  detail::drop_waits_left_behind(waiting_);
  withdraw_offer();
  end_of_offer_.unlink();
  const bool unwinding = std::uncaught_exceptions() != 0;
  RINGLET_ASSERT(
      unwinding || waiting_.empty(),
      "a pool was destroyed while a fiber waited for a slot in it: close() and join() it "
      "first");
  RINGLET_ASSERT(
      unwinding || slots_.empty(),
      "a pool was destroyed while a slot of it was reserved: close() and join() it first");
  if (!waiting_.empty() || !slots_.empty()) {
    detail::report(
        "ringlet: an exception has destroyed a pool while a fiber waited for a slot in it, or held "
        "one: what fibers share must outlive them; they get errc::closed\n");
    close();
    while (!slots_.empty()) {
      slot& left = slots_.front();
      left.leave();
      left.was_orphaned_ = true;
    }
  }
  clear();
}

// Called when a slot is free. The next in line gets it before any fiber runs, so no other fiber can
// take it.
void pool::on_left() noexcept {
  while (!waiting_.empty() && taken() < size_) {
    auto& first = static_cast<slot_wait&>(waiting_.front());
    first.slot_ = slot(*this);
    first.complete();
  }
}

void pool::close() noexcept {
  check_thread();
  closed_ = true;
  while (!waiting_.empty()) {
    auto& wait = static_cast<slot_wait&>(waiting_.front());
    wait.reason_ = cancel_reason::closed;
    wait.complete();
  }
  withdraw_offer();
}

pool::slot pool::take_now() noexcept {
  check_thread();
  if (closed_) return slot();
  if (is_offered_to_caller()) {
    offered_to_ = 0;
    one_has_come();
  } else {
    withdraw_offer();
  }
  return taken() < size_ ? slot(*this) : slot();
}

// The fiber continues, and may take the slot immediately. Detecting the fiber's next wait would
// slow down every wait of every fiber, so the offer ends with the turn.
void pool::offer(slot& left, const fiber_base& to) noexcept {
  withdraw_offer();
  if (waiting_.empty()) return left.release();
  left.leave();
  expect_one();
  offered_to_ = to.id();
  if (!end_of_offer_.linked()) to.scheduler().tell_later(end_of_offer_);
}

void pool::withdraw_offer() noexcept {
  if (std::exchange(offered_to_, 0) != 0) one_will_not_come();
}

bool pool::is_offered_to_caller() const noexcept {
  if (offered_to_ == 0 || current_scheduler_or_null() == nullptr) return false;
  const fiber_base* const running = current_scheduler_or_null()->running();
  return running != nullptr && running->id() == offered_to_;
}

pool::end_of_offer::end_of_offer(pool& of) noexcept
    : done_watcher([](done_watcher& watcher) noexcept {
        static_cast<end_of_offer&>(watcher).made_by->withdraw_offer();
      }),
      made_by(&of) {}

void pool::hand_to(slot& taken, member_owner added, fiber_base& made) noexcept {
  if (made.done()) return taken.release();  // it was cancelled before it could begin
  taken.leave();
  enroll(std::move(added), made);
}

task<bool> pool::add_in_slot(fiber_base& added, time_limit timeout) {
  added.scheduler().check_thread("a fiber of another thread's scheduler was added to a pool");
  if (added.done() || fiber_set::contains(added)) co_return true;
  slot taken;
  std::error_code error;
  if (&added == &current()) {
    result<slot> own = co_await as_result(reserve(timeout));
    if (own) {
      taken = *std::move(own);
    } else {
      error = own.error();
    }
  } else {
    auto first = co_await as_result(select(reserve(timeout), join_wait(added, forever)));
    if (!first) {
      error = first.error();
    } else if (first->index() == 0) {
      taken = std::get<0>(*std::move(first));
    }
  }
  if (error == errc::timed_out) co_return false;
  if (error) throw_error(error, "add to a pool");
  if (taken) taken.add_fiber(added);
  co_return true;
}

pool::slot::slot(pool& of) noexcept : of_(&of) {
  of.expect_one();
  of.slots_.push_back(*this);
}

void pool::slot::take_over(slot& other) noexcept {
  was_orphaned_ = std::exchange(other.was_orphaned_, false);
  of_ = std::exchange(other.of_, nullptr);
  if (of_ == nullptr) return;
  other.unlink();
  of_->slots_.push_back(*this);
}

// Gives the slot up without passing it on.
void pool::slot::leave() noexcept {
  unlink();
  std::exchange(of_, nullptr)->one_has_come();
}

void pool::slot::release() noexcept {
  if (of_ == nullptr) return;
  unlink();
  std::exchange(of_, nullptr)->one_will_not_come();
}

pool& pool::slot::checked() {
  if (was_orphaned_) throw_error(errc::closed, "spawn in a slot whose pool was destroyed");
  RINGLET_ASSERT(
      of_ != nullptr,
      "an empty slot of a pool was used: it was moved from or given back, or a fiber was "
      "spawned in it before");
  return *of_;
}

void pool::slot::add_fiber(fiber_base& added) {
  pool& of = checked();
  added.scheduler().check_thread("a fiber of another thread's scheduler was added to a pool");
  if (added.done() || of.contains(added)) return release();
  of.hand_to(*this, of.make_member(), added);
}

bool pool::slot_wait::try_now() noexcept {
  of_->check_thread();
  if (of_->closed_) {
    reason_ = cancel_reason::closed;
    return true;
  }
  slot_ = of_->take_now();
  return static_cast<bool>(slot_);
}

std::error_code pool::slot_wait::error() {
  const std::error_code early = cancellation_error();
  if (early) return early;
  return slot_ ? std::error_code() : errc::closed;  // the pool was destroyed during the wait
}

result<pool::slot> pool::reserve_wait::take() {
  const std::error_code failed = error();
  if (failed) return failed;
  return std::move(slot_);
}

pool::slot pool::reserve_wait::await_resume() {
  const std::error_code failed = error();
  if (failed) throw_error(failed, "slot in a pool");
  return std::move(slot_);
}

result<bool> pool::available_wait::take() {
  const std::error_code failed = error();
  if (failed == errc::timed_out) return false;
  if (failed) return failed;
  slot_.of_->offer(slot_, *fiber_);
  return true;
}

bool pool::available_wait::await_resume() {
  return detail::value_or_throw(take(), "slot in a pool");
}

void pool::describe(std::string& out) const {
  std::size_t in_line = 0;
  auto& line = const_cast<wait_list&>(waiting_);
  for (const list_wait* w = line.next(nullptr); w != nullptr; w = line.next(w)) ++in_line;
  fmt::format_to(std::back_inserter(out), "in a pool of {} (", size_);
  if (expected() != 0) fmt::format_to(std::back_inserter(out), "{} reserved, ", expected());
  fmt::format_to(std::back_inserter(out), "{} taken by fibers, {} in line) made at {}:{}", size(),
                 in_line, where_.file_name(), where_.line());
}

void pool::slot_wait::describe(std::string& out) const { of_->describe(out); }

}  // namespace ringlet

// semaphore: a number of permits, which fibers take and give back.
//
//     semaphore queries(10);  // at most 10 at once
//
//     task<> query(tcp_stream& database, std::string text) {
//       const semaphore::permit one = co_await queries.acquire();
//       co_await database.write_all(text);
//     }  // the permit goes back
//
// A semaphore can also count things: one fiber adds permits, another uses them up.
//
//     semaphore arrived(0);
//
//     void on_arrival() { arrived.release(); }
//     task<> take_a_pair() { (co_await arrived.acquire(2)).consume(); }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/admission_slices.hpp>
#include <ringlet/detail/affinity.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/semaphore_permit.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

namespace ringlet {

/// A number of permits, like gevent's Semaphore. Fibers are served strictly in the order in which
/// they asked: a small request never overtakes a large one, nor does a fiber that gives back a
/// permit and asks for another. A call that asks for several permits takes all of them at once, so
/// two of them cannot block each other with a part each.
///
/// Errors    timed_out. std::invalid_argument from a call that asks for more permits than there can
///           ever be. More permits than `unlimited` abort.
/// Cancellation  Loses nothing: a fiber that is killed while it waits has taken no permit, and the
///           fibers behind it are served at once if there are enough. Success wins: a fiber that
///           has been given its permits gets them, and is interrupted at the next wait.
/// Lifetime  Must outlive its permits and the fibers that wait; otherwise the destructor aborts.
///           While an exception unwinds the owner, it ends the waits with errc::closed instead, and
///           reports that. A permit may be moved to another fiber, and outlive the one that took
///           it.
/// Thread    That of the scheduler whose fibers wait, or else of the one that uses it first, as
///           long as that scheduler runs. On other threads every call that takes or gives permits
///           aborts.
/// Memory    None.
class semaphore : private detail::admission_slices<semaphore> {
 public:
  class acquire_wait;
  /// Permits that a caller has: count() of them, which go back when it is destroyed, or before by
  /// release(); split() moves some into another object, and consume() uses all of them up.
  using permit = extend::semaphore_permit<semaphore>;
  /// A count at which no fiber ever waits: for a program in which the limit is optional.
  static constexpr std::size_t unlimited = std::numeric_limits<std::ptrdiff_t>::max();

  /// Throws std::invalid_argument if `count` is more than `unlimited`, which a negative number is.
  explicit semaphore(std::size_t count) : semaphore("semaphore", count, unlimited) {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore();

  /// Waits until it is the caller's turn and `count` permits are free, and takes them. Returns a
  /// `permit` for them, which gives them back. 0 waits for the turn only. May be a part of a
  /// select().
  acquire_wait acquire(std::size_t count = 1, time_limit timeout = forever);
  /// The same for one permit.
  acquire_wait acquire(time_limit timeout);
  /// Takes `count` permits if they are free and no fiber waits; otherwise returns an empty permit.
  /// Needs no fiber.
  permit try_acquire(std::size_t count = 1);
  /// Adds `count` permits to those that exist. Permits that were acquired come back by themselves:
  /// see permit. Needs no fiber. Up to 256 fibers are woken at once, and then 256 each turn of the
  /// scheduler.
  void release(std::size_t count = 1) noexcept {
    check_thread();
    if (count > count_max_ - available_ - held_) [[unlikely]]
      refuse_release(count);
    available_ += count;
    if (waiting_ != 0) admit();
  }

  /// How many permits are free. While a fiber waits for more of them, no other fiber gets them.
  std::size_t available() const noexcept { return available_; }
  /// How many fibers wait for permits.
  std::size_t waiting() const noexcept { return waiting_; }
  /// The most fibers that have waited at once.
  std::size_t waiting_peak() const noexcept { return waiting_peak_; }

 protected:
  /// Throws std::invalid_argument if `count` or `count_max` is more than `unlimited`.
  semaphore(const char* name, std::size_t count, std::size_t count_max);

  std::size_t count_max() const noexcept { return count_max_; }

 private:
  friend permit;
  friend class detail::admission_slices<semaphore>;
  void check_thread() noexcept {
    owner_.check("a semaphore was used on a thread that is not its scheduler's");
  }
  void check_request(std::size_t count) const {
    if (count > count_max_) [[unlikely]]
      refuse_request(count);
  }
  [[noreturn, gnu::cold]] void refuse_request(std::size_t count) const;
  [[noreturn, gnu::cold]] void refuse_release(std::size_t count) const noexcept;

  bool take(std::size_t count) noexcept {
    check_thread();
    if (waiting_ != 0 || count > available_) return false;
    available_ -= count;
    held_ += count;
    return true;
  }
  void give_back(std::size_t count) noexcept {
    check_thread();
    held_ -= count;
    available_ += count;
    if (waiting_ != 0) admit();
  }
  void use_up(std::size_t count) noexcept {
    check_thread();
    held_ -= count;
  }
  void add(acquire_wait& last) noexcept;
  void remove(acquire_wait& gone) noexcept;
  /// Serves the fibers at the front for which there are enough permits, or a slice of them.
  void admit() noexcept;
  /// Serves the first fiber that waits, if there are enough permits.
  bool admit_first() noexcept;

  const char* name_;
  std::size_t available_;
  std::size_t held_ = 0;  // in permits, and by fibers that have been given them and will run
  std::size_t count_max_;
  std::size_t waiting_ = 0;
  std::size_t waiting_peak_ = 0;
  detail::affinity owner_;
  extend::wait_list waiters_;
};

/// See semaphore::acquire().
class [[nodiscard]] semaphore::acquire_wait : public extend::list_wait {
 public:
  acquire_wait(semaphore& from, std::size_t count, time_limit timeout) noexcept
      : extend::list_wait(timeout), from_(&from), count_(count) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<permit> take() {
    if (reason_ == extend::cancel_reason::none) return permit(from_, count_);
    return cancellation_error();
  }
  permit await_resume() {
    if (reason_ != extend::cancel_reason::none) [[unlikely]]
      throw_error(cancellation_error(), "acquire");
    return permit(from_, count_);
  }

  bool try_now() noexcept { return from_->take(count_); }
  void watch() noexcept { from_->add(*this); }
  void unwatch() noexcept {
    if (linked()) from_->remove(*this);
  }
  void pass_on() noexcept { from_->admit(); }  // it may have blocked smaller requests
  void on_cancel(extend::cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  friend class semaphore;

  semaphore* from_;
  std::size_t count_;
};

inline semaphore::acquire_wait semaphore::acquire(std::size_t count, time_limit timeout) {
  check_request(count);
  return {*this, count, timeout};
}

inline semaphore::acquire_wait semaphore::acquire(time_limit timeout) {
  return acquire(1, timeout);
}

inline semaphore::permit semaphore::try_acquire(std::size_t count) {
  check_request(count);
  return take(count) ? permit(this, count) : permit();
}

}  // namespace ringlet

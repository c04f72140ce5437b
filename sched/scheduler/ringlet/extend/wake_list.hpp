// wake_list: waits that one call has ended all at once, woken a slice each turn.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_lists.hpp>
#include <ringlet/result.hpp>

#include <cstddef>
#include <cstdint>

namespace ringlet::extend {

/// Of an object that ends all its waits by one call, such as event::set(). With a hundred thousand
/// of them, waking each in that call would keep the thread for milliseconds. So the call splices
/// them in here, in O(1); 256 are woken at once, and then as many each turn of the scheduler. A
/// wait that begins later is in another list, and stays asleep.
///
/// A wait that is in this list has ended. Its on_cancel() must know that: it remembers round() when
/// it begins, and has ended if round() has changed since.
/// Thread: that of the fibers. Lifetime: any; the destructor wakes what is left.
class wake_list : public sliced_list {
 public:
  wake_list() noexcept : wake_list(cancel_reason::none) {}
  /// Every wait that is taken ends for that reason, instead of with success.
  explicit wake_list(cancel_reason ended_by) noexcept
      : sliced_list(&wake_list::wake_slice), reason_(ended_by) {}
  wake_list(const wake_list&) = delete;
  wake_list& operator=(const wake_list&) = delete;
  ~wake_list();

  /// Ends all waits of `waits`, in order. Never throws, and does not allocate.
  void take(wait_list& waits) noexcept;
  /// How often take() was called, modulo 2^32.
  std::uint32_t round() const noexcept { return round_; }

 private:
  static std::size_t wake_slice(sliced_list& of, std::size_t most) noexcept;
  void wake_first() noexcept;
  /// Wakes at most `most`, and returns how many.
  std::size_t wake_some(std::size_t most) noexcept;

  wait_list left_;
  std::uint32_t round_ = 0;
  cancel_reason reason_;
};

/// A wait in the list of an object that ends its waits through a wake_list. It returns true, or
/// false if its limit passed first.
class wake_list_wait : public list_wait {
 public:
  result<bool> take() {
    rethrow_interruption();
    if (reason_ == cancel_reason::closed) return cancellation_error();
    return reason_ == cancel_reason::none;
  }

 protected:
  using list_wait::list_wait;
  ~wake_list_wait() = default;

  /// For watch().
  void wait_in(wait_list& waiters, const wake_list& woken) noexcept {
    round_ = woken.round();
    waiters.push_back(*this);
  }
  /// Whether it has ended, and is in `woken` or was.
  bool is_over(const wake_list& woken) const noexcept { return round_ != woken.round(); }
  /// For on_cancel(): a wait that is in `woken` keeps how it has ended.
  void end_early(cancel_reason reason, const wake_list& woken) noexcept {
    if (!is_over(woken)) reason_ = reason;
    complete();
  }

 private:
  std::uint32_t round_ = 0;
};

}  // namespace ringlet::extend

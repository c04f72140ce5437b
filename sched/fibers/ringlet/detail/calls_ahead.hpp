// The calls that an imap() has made ahead of its reader.
//
// All calls are in one list, in the order of the items. Calls that have ended are also in a second
// list, in the order in which they ended. So finding the next one takes constant time. The memory
// of a call comes from the frame pool.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <memory>
#include <string>

namespace ringlet::detail {

/// Thread: that of its scheduler.
class calls_ahead {
 public:
  /// With `in_order`, the calls are read in the order of the items; otherwise in the order in which
  /// they end.
  explicit calls_ahead(bool in_order) noexcept : in_order_(in_order) {}
  calls_ahead(const calls_ahead&) = delete;
  calls_ahead& operator=(const calls_ahead&) = delete;
  /// Kills the calls that have not ended.
  ~calls_ahead();

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// Adds the fiber<T> that `spawn` returns. Nothing can fail after `spawn` has returned.
  template <class Spawn>
  void add(Spawn spawn) {
    call_owner added = make_call();
    const auto made = spawn();
    keep(std::move(added), made.state());
  }

  class next_wait;
  /// Waits until the next call can be read. Precondition: not empty.
  next_wait next() noexcept;
  /// Removes that call and returns its fiber. Precondition: next() has returned.
  template <class T>
  fiber<T> pop() noexcept {
    return fiber<T>(static_cast<fiber_state<T>&>(take_out()));
  }

 private:
  struct call;
  struct call_deleter {
    void operator()(call* deleted) const noexcept;
  };
  using call_owner = std::unique_ptr<call, call_deleter>;

  static call_owner make_call();
  void keep(call_owner added, extend::fiber_base& fiber) noexcept;
  void on_ended(call& ended) noexcept;
  call* next_ended() noexcept;
  extend::fiber_base& take_out() noexcept;

  extend::intrusive_list<call, calls_ahead> all_;
  extend::intrusive_list<extend::done_watcher> ended_;
  next_wait* reader_ = nullptr;
  std::size_t size_ = 0;
  bool in_order_;
};

/// See calls_ahead::next().
class [[nodiscard]] calls_ahead::next_wait : public extend::wait_base {
 public:
  explicit next_wait(calls_ahead& of) noexcept : extend::wait_base(forever), of_(&of) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    return {};
  }
  void await_resume() { rethrow_interruption(); }

  void on_cancel(extend::cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 private:
  friend class calls_ahead;
  bool begin(extend::frame_record& at) noexcept;
  static const extend::wait_type type;

  calls_ahead* of_;
};

inline calls_ahead::next_wait calls_ahead::next() noexcept { return next_wait(*this); }

}  // namespace ringlet::detail

// closable: an object that closes its descriptor once the kernel has finished with it.
//
// Life cycle: open -> closing -> closed. Closing ends the operations in flight and only then closes
// the descriptor, so that its number cannot be reused while an operation refers to it. The object
// lives on the heap and outlives its owner until the kernel has finished with it: a stream or
// listener can be moved, closed and destroyed at any time.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/operation.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>

#include <coroutine>

namespace ringlet {

class close_wait;

}  // namespace ringlet

namespace ringlet::detail {

/// The object is itself the request that is in flight most of the time. Its `fd` is the descriptor.
class closable : public extend::shutdown_hook, protected extend::operation {
 public:
  /// The descriptor, or -1 once closing has begun.
  int fd() const noexcept { return closing_ ? -1 : extend::operation::fd; }
  /// Cancels the operations in flight, and closes when they have ended. True if that has already
  /// happened, or if another caller is closing it; otherwise `waiter`, if not null, is woken then.
  bool close(close_wait* waiter) noexcept;
  /// Called by the owner's destructor: closes if needed. The object destroys itself when no
  /// operation is in flight.
  void release() noexcept;

 protected:
  closable(extend::scheduler& scheduler, extend::opcode kind, handler completed) noexcept
      : extend::operation(kind, completed), scheduler_(&scheduler) {}
  virtual ~closable() = default;

  /// Whether this process is a child of fork() and the object belongs to the parent.
  bool is_left_behind() const noexcept {
    return scheduler_ != nullptr && scheduler_->is_left_behind();
  }
  /// Called when an operation or call ends while closing. The object may be gone afterwards.
  void go_on_closing() noexcept {
    if (is_idle()) finish_close();
  }
  void on_scheduler_gone() noexcept override;

  extend::scheduler* scheduler_;  // null once it has ended

 private:
  /// The message of the abort when it is closed on the wrong thread.
  virtual const char* thread_rule() const noexcept = 0;
  /// Whether to close the descriptor, or only to forget it.
  virtual bool owns_number() const noexcept { return true; }
  /// Whether no operation is in flight and no call is active.
  virtual bool is_idle() const noexcept = 0;
  /// Ends the active calls, or cancels them.
  virtual void begin_close() noexcept = 0;
  /// Drops bytes or connections that have arrived but have not been taken.
  virtual void drop_untaken() noexcept = 0;

  void close_number() noexcept;
  void finish_close() noexcept;

  close_wait* closer_ = nullptr;

 protected:
  bool closing_ = false;

 private:
  bool released_ = false;
};

}  // namespace ringlet::detail

namespace ringlet {

/// See tcp_stream::close() and tcp_listener::close().
class [[nodiscard]] close_wait : public extend::wait_base {
 public:
  explicit close_wait(detail::closable* closed) noexcept
      : extend::wait_base(forever), closed_(closed) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    return {};
  }
  void await_resume() { rethrow_interruption(); }

 private:
  friend class detail::closable;
  bool begin(extend::frame_record& at) noexcept;
  detail::closable* closed_;
};

}  // namespace ringlet

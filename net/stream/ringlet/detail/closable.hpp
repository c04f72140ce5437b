// closable: an object whose descriptor is closed when the kernel has finished with it.
//
// Life: open -> closing -> closed. Closing ends what is in flight, and only then closes the number,
// so that it cannot be reused while anything still refers to it. The object lives on the heap and
// outlives its owner for as long as the kernel works on it: a stream or listener can be moved,
// closed and destroyed at any time.
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

/// The object is itself the request that is in flight most of the time; its `fd` is the number.
class closable : public extend::shutdown_hook, protected extend::operation {
 public:
  /// The number, or -1 once it is closing.
  int fd() const noexcept { return closing_ ? -1 : extend::operation::fd; }
  /// Cancels what is in flight, and closes when that has ended. True if it has already ended, or if
  /// another caller is closing it.
  bool close(close_wait* waiter) noexcept;
  /// The owner is gone: closes if needed; the object is destroyed when everything has ended.
  void release() noexcept;

 protected:
  closable(extend::scheduler& scheduler, extend::opcode kind, handler completed) noexcept
      : extend::operation(kind, completed), scheduler_(&scheduler) {}
  virtual ~closable() = default;

  /// Whether this process is a child of fork(), and the object is the parent's.
  bool is_left_behind() const noexcept {
    return scheduler_ != nullptr && scheduler_->is_left_behind();
  }
  /// Called when something that was in flight has ended while closing. The object may be gone
  /// afterwards.
  void go_on_closing() noexcept {
    if (is_idle()) finish_close();
  }
  void on_scheduler_gone() noexcept override;

  extend::scheduler* scheduler_;  // null when that has ended

 private:
  /// The rule that closing on another thread breaks.
  virtual const char* thread_rule() const noexcept = 0;
  /// Whether to close the number, and not just forget it.
  virtual bool owns_number() const noexcept { return true; }
  /// Whether nothing is in flight, and no call is under way.
  virtual bool is_idle() const noexcept = 0;
  /// Ends the calls, or cancels them.
  virtual void begin_close() noexcept = 0;
  /// Drops what has arrived and was not taken.
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

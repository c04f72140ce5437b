// ended_fibers: tells which of several fibers have ended, in the order in which they ended.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ringlet::extend {

/// Watches fibers from its construction to its destruction and returns their indices in the list,
/// first those that had already ended. It does not keep the fibers alive. Thread: that of their
/// scheduler.
class ended_fibers {
 public:
  /// Allocates everything that it will need. A fiber that is listed twice is returned twice.
  explicit ended_fibers(const std::vector<fiber_base*>& targets);
  ended_fibers(const ended_fibers&) = delete;
  ended_fibers& operator=(const ended_fibers&) = delete;
  ~ended_fibers();

  class next_wait;
  /// Waits for the next end and returns the fiber's index; nothing if the limit passed first, or if
  /// all have been returned.
  next_wait next(time_limit timeout = forever) noexcept;

 private:
  struct link : done_watcher {
    link() noexcept : done_watcher(&link::on_ended) {}
    static void on_ended(done_watcher& watcher) noexcept;
    ended_fibers* owner = nullptr;
  };

  std::unique_ptr<link[]> links_;
  std::size_t count_;
  std::vector<std::size_t> order_;
  std::size_t yielded_ = 0;
  next_wait* waiter_ = nullptr;
};

/// See ended_fibers::next().
class [[nodiscard]] ended_fibers::next_wait : public wait_base {
 public:
  next_wait(ended_fibers& of, time_limit timeout) noexcept : wait_base(timeout), of_(&of) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<std::optional<std::size_t>> take() { return await_resume(); }
  std::optional<std::size_t> await_resume();

  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 private:
  friend struct ended_fibers::link;
  bool begin(frame_record& at) noexcept;
  static const wait_type type;

  ended_fibers* of_;
};

inline ended_fibers::next_wait ended_fibers::next(time_limit timeout) noexcept {
  return {*this, timeout};
}

}  // namespace ringlet::extend
